"""`additive demo`: the whole story on the bundled base, in minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from additive.cli.check import exit_code, report_check
from additive.cli.progress import show_progress
from additive.cli.session import Session

if TYPE_CHECKING:
    from additive.verbs.demo import Demo


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
    from additive.verbs.demo import DIRECTORY, run_demo

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
        say(f"\n{moral(demo.averages(), demo.document['verdict'])}")
    elif demo.reused:
        say("\nnothing to do: everything was there already")


def moral(averages: Mapping[str, float], verdict: str) -> str:
    """What the broken merge shows: the average beside the gate. It says only what happened.

    >>> print(moral({"specialist": 0.9, "merged": 0.8}, "fail"))
    mean over the target suites: 0.900 -> 0.800 (−0.100).
    An average shows this loss too; the worst suite decides, so the gate stops it.
    """
    from additive.spec.suite import DEFAULT_MARGIN

    specialist, merged = averages["specialist"], averages["merged"]
    change = f"{merged - specialist:+.3f}".replace("-", "−")
    mean = f"mean over the target suites: {specialist:.3f} -> {merged:.3f} ({change})."
    if verdict == "pass":
        return f"{mean}\nNothing was lost here: the gate lets this merge out, as an average would."
    shown = specialist - merged >= DEFAULT_MARGIN
    average = "shows this loss too" if shown else "would have let this merge out"
    return f"{mean}\nAn average {average}; the worst suite decides, so the gate stops it."
