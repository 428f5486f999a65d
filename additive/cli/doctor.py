"""`additive doctor`: whether this machine can do the work, and how to repair what it lacks."""

from __future__ import annotations

from dataclasses import asdict

import click

import additive
from additive.cli.invocation import Invocation
from additive.cli.output import clean
from additive.errors import ResourceError, UsageError

SCHEMA = "additive.doctor/1"


@click.command()
@click.pass_obj
def command(invocation: Invocation) -> int:
    """Check Python, libraries, torch, cores, memory, disk, sandbox and base.

    Works outside a workspace too. Exit code 4 when something is missing that every command needs.

    \b
    Examples:
      additive doctor
    """
    try:
        workspace = invocation.workspace
    except UsageError:
        workspace = None
    checks = additive.examine_machine(workspace, invocation.directory)
    failed = any(check.state == "fail" for check in checks)
    document = {"schema": SCHEMA, "ok": not failed, "checks": [asdict(check) for check in checks]}
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(clean(f"{check.state:<4}  {check.name:<{width}}  {check.result}"))
        if check.help:
            lines.append(clean(f"      {'':<{width}}  {check.help}"))
    invocation.output.result(document, "\n".join(lines))
    return ResourceError.exit_code if failed else 0
