"""`additive init`: a workspace to start from."""

from __future__ import annotations

from pathlib import Path

import click

from additive.cli.session import Session
from additive.verbs.init import DEMO_DOMAINS, make_workspace
from additive.workspace.bases import BUNDLED

SCHEMA = "additive.init/1"


@click.command()
@click.argument("directory", default=".", metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--base", default="tiny", show_default=True, help="tiny, a directory, or a Hub id.")
@click.option("--domain", "domains", multiple=True, help="An empty domain NAME (repeatable).")
@click.pass_obj
def command(session: Session, directory: Path, base: str, domains: tuple[str, ...]) -> None:
    """Scaffold a workspace in DIR (here, when not given).

    With the bundled base it comes with three domains, their suites and a guard, ready to train;
    with any other base its domains are empty and commented.
    """

    root = (session.directory / directory).resolve()
    workspace = make_workspace(root, base, domains, start=session.directory)
    names = workspace.domain_names()
    ready = base in BUNDLED and not domains
    steps = _next_steps(session, root, ready)
    document = {
        "schema": SCHEMA,
        "path": str(root),
        "base": workspace.spec.base.model,
        "domains": list(names),
        "suites": list(workspace.suite_names()),
        "next": steps,
    }
    empty = (
        "empty: put rows into train.jsonl and validation.jsonl, or adopt an adapter by that name"
    )
    kind = "ready to train" if ready else empty
    lines = [
        f"workspace  {root}",
        f"base       {workspace.spec.base.model}",
        f"domains    {', '.join(names)} ({kind})",
        f"suites     {', '.join(workspace.suite_names())}",
        *(f"next       {step}" for step in steps),
    ]
    session.output.result(document, "\n".join(lines))


def _next_steps(session: Session, root: Path, ready: bool) -> list[str]:
    here = root == session.directory.resolve()
    change = [] if here else [f"cd {_shown(session, root)}"]
    first = f"additive train {DEMO_DOMAINS[0]}" if ready else "additive lint"
    adopt = [] if ready else ["additive adopt DIR --as NAME (for adapters that you have already)"]
    return [*change, first, *adopt]


def _shown(session: Session, root: Path) -> str:
    start = session.directory.resolve()
    path = str(root.relative_to(start)) if root.is_relative_to(start) else str(root)
    return f"'{path}'" if " " in path else path
