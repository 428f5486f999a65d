"""`additive check MERGE`: evaluate on held-out suites, then the gate."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from additive.cli.output import Output
from additive.cli.progress import show_progress
from additive.cli.session import Session
from additive.errors import EXIT_OK, EXIT_REFUSED_BY_GATE, UsageError
from additive.workspace import Workspace


@click.command("check")
@click.argument("merge")
@click.option(
    "--plan", is_flag=True, help="What would be evaluated, and the drop that could be seen."
)
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write each model's scores too, a file per suite that `additive gate` reads.",
)
@click.pass_obj
def command(session: Session, merge: str, plan: bool, results: Path | None) -> int:
    """Compare MERGE item by item with its specialists and the base, and give the verdict.

    Exit code 0: every suite passes and every merged domain has a target suite. 1: a suite fails or
    cannot tell, or something was not compared.

    \b
      additive check math+code+safety
      additive check math+code+safety --json
      additive check math+code+safety --results results
    """
    if plan and results is not None:
        raise UsageError(
            "--results cannot be used with --plan",
            help=f"additive check {merge} --results {results}",
        )
    from additive.verbs.built_merge import resolve_merge

    artifact = resolve_merge(session.workspace, merge)
    if plan:
        from additive.verbs.check import plan_check

        planned = plan_check(session.workspace, artifact)
        session.output.result(planned.document(), planned.text())
        return EXIT_OK
    from additive.verbs.check import check_merge

    with show_progress(quiet=session.quiet, color=session.output.color) as listen:
        document = check_merge(session.workspace, artifact, listen)
        if results is not None:
            from additive.verbs.results import write_results

            if write_results(session.workspace, artifact, session.directory / results, listen):
                document = {**document, "results": str(session.directory / results)}
    if session.as_json:
        session.output.result(document)
    else:
        report_check(session.output, session.workspace, document)
    return exit_code(document)


def exit_code(document: Mapping[str, Any]) -> int:
    """0 for a pass, 1 for everything else."""
    return EXIT_OK if document["verdict"] == "pass" else EXIT_REFUSED_BY_GATE


def report_check(output: Output, workspace: Workspace, document: Mapping[str, Any]) -> None:
    """Print a check for people: the table, the verdict, three suggestions, where the report is."""
    from additive.report.table import plain_table, rich_table
    from additive.verbs.report import evidence_of

    evidence = evidence_of(workspace, document)
    check = evidence.check
    columns = min(shutil.get_terminal_size((100, 24)).columns, 120)
    if output.rich_stdout:
        from rich.console import Console

        Console().print(rich_table(check, columns))
    else:
        output.print(plain_table(check, max(columns, 80)).rstrip("\n"))
    output.print(f"\n{verdict_line(document)}")
    for suggestion in evidence.suggestions():
        output.print(
            f"  - {suggestion.text}"
            + (f"\n      {suggestion.command}" if suggestion.command else "")
        )
    if document.get("report"):
        output.print(f"report  {document['report']}")
    if document.get("results"):
        output.print(f"results {document['results']}")


def verdict_line(document: Mapping[str, Any]) -> str:
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
