"""`additive lint`: specs, rows, digests and leaks, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

import additive
from additive.cli.invocation import Invocation
from additive.cli.output import clean
from additive.lint.findings import LintReport

MAX_LINES = 50


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.pass_obj
def command(invocation: Invocation, paths: tuple[Path, ...]) -> int:
    """Check specs, data, digests and leaks of the workspace, or of what lies below PATHS.

    Exit code 2 for faults in specs or rows, 3 for changed bytes and for held-out items in training
    data.

    \b
    Examples:
      additive lint
      additive lint domains/math
    """
    report = additive.lint_workspace(
        invocation.workspace, [invocation.directory / path for path in paths]
    )
    invocation.output.result(report.document(), "\n".join(_lines(report)))
    return report.exit_code


def _lines(report: LintReport) -> Iterator[str]:
    faults = report.findings
    yield from (clean(finding.message) for finding in faults[:MAX_LINES])
    if len(faults) > MAX_LINES:
        yield f"and {len(faults) - MAX_LINES} more; --json lists all"
    helps = dict.fromkeys(finding.help for finding in faults if finding.help)
    yield from (f"help: {clean(text)}" for text in helps)
    yield from (f"note: {clean(note)}" for note in report.notes)
    counts = ", ".join(
        _plural(number, name.removesuffix("s"))
        for name, number in report.counts.items()
        if name != "leaks"
    )
    verdict = _plural(len(faults), "fault") if faults else "no faults"
    yield f"{counts}: {verdict}" if counts else verdict


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
