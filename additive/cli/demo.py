"""`additive demo`: the whole story on the bundled base, in minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from additive.cli.check import exit_code, report_check
from additive.cli.progress import show_progress
from additive.cli.session import Session

if TYPE_CHECKING:
    from additive.workflows.demo import Demo

SCHEMA = "additive.demo/1"


@click.command("demo")
@click.option(
    "--break",
    "broken",
    is_flag=True,
    help="Merge the same adapters by their factors, and see it stopped.",
)
@click.pass_obj
def command(session: Session, broken: bool) -> int:
    """Train math, code and safety on the bundled base, merge them, and check that nothing was lost.

    Leaves a workspace in additive-demo/. Run again, it continues, or shows what it found.

    \b
      additive demo
      additive demo --break
    """
    from additive.workflows.demo import DIRECTORY, run_demo

    root = session.directory / DIRECTORY
    with show_progress(quiet=session.quiet, color=session.output.color) as listen:
        demo = run_demo(root, listen, broken=broken)
    if session.as_json:
        document = {
            "schema": SCHEMA,
            "path": str(root),
            "domains": [trained.document() for trained in demo.trained],
            "merge": demo.built.document(),
            "averages": demo.averages(),
            "check": demo.document,
        }
        session.output.result(document)
    else:
        _tell(session, demo, broken)
    return exit_code(demo.document)


def _tell(session: Session, demo: Demo, broken: bool) -> None:
    say = session.output.print
    for trained in demo.trained:
        say(trained.line())
    say(f"{demo.built.line()}\n")
    report_check(session.output, demo.workspace, demo.document)
    if broken:
        mean = demo.averages()
        lost = mean["specialist"] - mean["merged"]
        say(
            f"\nmean over the target suites:"
            f" {mean['specialist']:.3f} -> {mean['merged']:.3f} (−{lost:.3f})."
        )
        say(
            "An average would have let this merge out;"
            " the worst suite decides, so the gate stops it."
        )
    elif demo.reused:
        say("\nnothing to do: everything was there already")
