"""`additive doctor`: whether this machine can do the work, and what mends it where it cannot."""

from __future__ import annotations

from dataclasses import asdict

import click

from additive.cli.output import clean
from additive.cli.session import Session
from additive.errors import ResourceError, UsageError

SCHEMA = "additive.doctor/1"


@click.command()
@click.pass_obj
def command(session: Session) -> int:
    """Judge Python, libraries, torch, cores, memory, disk, sandbox and base.

    Exit code 4 when something is missing that work cannot go on without.
    """
    from additive.verbs.doctor import examine

    try:
        workspace = session.workspace
    except UsageError:
        workspace = None
    checks = examine(workspace, session.directory)
    failed = any(check.state == "fail" for check in checks)
    document = {"schema": SCHEMA, "ok": not failed, "checks": [asdict(check) for check in checks]}
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(clean(f"{check.state:<4}  {check.name:<{width}}  {check.found}"))
        if check.mend:
            lines.append(clean(f"      {'':<{width}}  {check.mend}"))
    session.output.result(document, "\n".join(lines))
    return ResourceError.exit_code if failed else 0
