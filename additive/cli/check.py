"""`additive check MERGE`: evaluate on held-out suites, then the gate; how a check is printed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

import additive
from additive.cli.invocation import Invocation
from additive.cli.output import Output
from additive.cli.progress import show_progress
from additive.errors import EXIT_OK, EXIT_REFUSED_BY_GATE, UsageError
from additive.report.table import plain_table, rich_table
from additive.workspace.workspace import Workspace


@click.command("check")
@click.argument("merge")
@click.option(
    "--plan",
    is_flag=True,
    help="Show what would be evaluated and the smallest loss it could detect.",
)
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the scores of each model to DIR, one file per suite, for `additive gate`.",
)
@click.pass_obj
def command(invocation: Invocation, merge: str, plan: bool, results: Path | None) -> int:
    """Compare MERGE item by item with its specialists and the base, and print the verdict.

    Exit code 0 when every suite passes and every merged domain has a target suite; 1 when a suite
    fails or cannot tell, or something was not compared.

    \b
    Examples:
      additive check math+code+safety
      additive check math+code+safety --json
      additive check math+code+safety --results results
    """
    if plan and results is not None:
        raise UsageError(
            "--results cannot be used with --plan",
            help=f"additive check {merge} --results {results}",
        )
    workspace = invocation.workspace
    artifact = additive.resolve_merge(workspace, merge)
    if plan:
        planned = additive.plan_check(workspace, artifact)
        invocation.output.result(planned.document(), planned.text())
        return EXIT_OK
    with show_progress(invocation) as progress:
        document = additive.check_merge(workspace, artifact, progress)
        if results is not None:
            directory = invocation.directory / results
            if additive.write_results(workspace, artifact, directory, progress):
                document = {**document, "results": str(directory)}
    if invocation.as_json:
        invocation.output.result(document)
    else:
        print_check(invocation.output, workspace, document)
    return exit_code(document)


def exit_code(document: Mapping[str, Any]) -> int:
    """0 for a pass, 1 for everything else."""
    return EXIT_OK if document["verdict"] == "pass" else EXIT_REFUSED_BY_GATE


def print_check(output: Output, workspace: Workspace, document: Mapping[str, Any]) -> None:
    """Print a check for people: table, verdict, suggestions, and where the report is."""
    evidence = additive.evidence_of(workspace, document)
    columns = min(shutil.get_terminal_size((100, 24)).columns, 120)
    if output.rich_stdout:
        from rich.console import Console

        Console().print(rich_table(evidence.check, columns))
    else:
        output.print(plain_table(evidence.check, max(columns, 80)).rstrip("\n"))
    output.print(f"\n{_verdict_line(document)}")
    for suggestion in evidence.suggestions():
        command = f"\n      {suggestion.command}" if suggestion.command else ""
        output.print(f"  - {suggestion.text}{command}")
    for key in ("report", "results"):
        if document.get(key):
            output.print(f"{key:<7} {document[key]}")


def _verdict_line(document: Mapping[str, Any]) -> str:
    """The verdict in a sentence that names the suite which decided it."""
    name, verdict = document["name"], document["verdict"]
    if verdict == "not checked":
        gaps = "".join(f"\nnot compared: {gap}" for gap in document.get("gaps") or ())
        return f"{name}: NOT CHECKED (no target suite of its domains){gaps}"
    worst = next((s for s in document["suites"] if s["suite"] == document.get("worst")), None)
    reason = f" ({worst['suite']}: {worst['reason']})" if worst else ""
    gaps = "".join(f"\nnot compared: {gap}" for gap in document.get("gaps") or ())
    regressed = document.get("regressed") or []
    lost = f"\nregressed: {', '.join(regressed)}" if regressed else ""
    return f"{name}: {verdict.upper()}{reason}{lost}{gaps}"
