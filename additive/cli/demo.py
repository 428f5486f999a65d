"""`additive demo`: train, merge and check on the bundled base, in minutes."""

from __future__ import annotations

from collections.abc import Mapping

import click

import additive
from additive.cli.check import exit_code, print_check
from additive.cli.invocation import Invocation
from additive.cli.progress import show_progress
from additive.spec.suite import DEFAULT_MARGIN

SCHEMA = "additive.demo/1"


DIRECTORY = "additive-demo"


@click.command("demo")
@click.option(
    "--break",
    "broken",
    is_flag=True,
    help="Merge the adapters' factors instead of their products, and see the gate refuse it.",
)
@click.pass_obj
def command(invocation: Invocation, broken: bool) -> int:
    """Train math, code and safety on the bundled base, merge them and check the merge.

    Creates the workspace additive-demo/. A second run continues an interrupted one, or shows the
    finished result.

    \b
    Examples:
      additive demo
      additive demo --break
    """
    root = invocation.directory / DIRECTORY
    with show_progress(invocation) as progress:
        demo = additive.run_demo(root, progress, broken=broken)
    if invocation.as_json:
        document = {
            "schema": SCHEMA,
            "path": str(root),
            "domains": [trained.document() for trained in demo.trained],
            "merge": demo.built.document(),
            "averages": demo.averages(),
            "check": demo.document,
        }
        invocation.output.result(document)
        return exit_code(demo.document)
    output = invocation.output
    for trained in demo.trained:
        output.print(trained.line())
    output.print(f"{demo.built.line()}\n")
    print_check(output, demo.workspace, demo.document)
    if broken:
        output.print(f"\n{conclusion(demo.averages(), demo.document['verdict'])}")
    elif demo.reused:
        output.print("\nnothing to do: every artifact was there already")
    return exit_code(demo.document)


def conclusion(averages: Mapping[str, float], verdict: str) -> str:
    """What the broken merge shows: the average beside the verdict of the gate.

    >>> print(conclusion({"specialist": 0.9, "merged": 0.8}, "fail"))
    mean over the target suites: 0.900 -> 0.800 (−0.100).
    The average shows this loss too. The gate decides by the worst suite and refuses the merge.
    """
    specialist, merged = averages["specialist"], averages["merged"]
    change = f"{merged - specialist:+.3f}".replace("-", "−")
    mean = f"mean over the target suites: {specialist:.3f} -> {merged:.3f} ({change})."
    if verdict == "pass":
        return f"{mean}\nNo suite regressed: both the average and the gate release this merge."
    visible = specialist - merged >= DEFAULT_MARGIN
    average = "shows this loss too" if visible else "would have released this merge"
    gate = "The gate decides by the worst suite and refuses the merge."
    return f"{mean}\nThe average {average}. {gate}"
