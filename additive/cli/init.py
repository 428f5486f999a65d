"""`additive init`: a workspace to start from."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

import additive
from additive.cli.invocation import Invocation
from additive.workspace.bases import BUNDLED

SCHEMA = "additive.init/1"


@click.command()
@click.argument("directory", default=".", metavar="[DIR]", type=click.Path(path_type=Path))
@click.option(
    "--base", default="tiny", show_default=True, help="Base: tiny, a directory or a Hub id."
)
@click.option(
    "--domain", "domains", multiple=True, metavar="NAME", help="Add an empty domain (repeatable)."
)
@click.pass_obj
def command(invocation: Invocation, directory: Path, base: str, domains: tuple[str, ...]) -> None:
    """Create a workspace in DIR, or here.

    On the bundled base it has three domains with their suites, ready to train. On any other base
    its domains are empty, with every key explained in comments.

    \b
    Examples:
      additive init my-skills
      additive init team --base ../Qwen3-8B --domain math --domain sql
    """
    start = invocation.directory
    root = (start / directory).resolve()
    workspace = additive.make_workspace(root, base, domains, start=start)
    names, suites = workspace.domain_names(), workspace.suite_names()
    ready = base in BUNDLED and not domains
    steps = [] if root == start.resolve() else [f"cd {_relative(root, start.resolve())}"]
    steps.append("additive train math" if ready else "additive lint")
    if not ready:
        steps.append("additive adopt DIR --as NAME (for adapters that you have already)")
    empty = "empty: fill train.jsonl and validation.jsonl, or adopt an adapter under this name"
    state = "ready to train" if ready else empty
    document = {
        "schema": SCHEMA,
        "path": str(root),
        "base": workspace.spec.base.model,
        "domains": list(names),
        "suites": list(suites),
        "next": steps,
    }
    lines = [
        f"workspace  {root}",
        f"base       {workspace.spec.base.model}",
        f"domains    {', '.join(names)} ({state})",
        f"suites     {', '.join(suites)}",
        *(f"next       {step}" for step in steps),
    ]
    invocation.output.result(document, "\n".join(lines))


def _relative(root: Path, start: Path) -> str:
    """A directory as one types it after `cd`."""
    return quote(str(root.relative_to(start) if root.is_relative_to(start) else root))
