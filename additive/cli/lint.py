"""`additive lint`: specs, rows, digests and leaks, without torch."""

from __future__ import annotations

from pathlib import Path

import click

from additive.cli.output import clean
from additive.cli.session import Session
from additive.lint.findings import LintReport

MAX_SHOWN = 50


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.pass_obj
def command(session: Session, paths: tuple[Path, ...]) -> int:
    """Check specs, data, digests and leaks of the workspace, or of what lies below PATH.

    Exit code 2 for faulty specs or rows, 3 for changed bytes and held-out items in training data.
    """
    from additive.verbs.lint import lint

    report = lint(session.workspace, [session.directory / path for path in paths])
    session.output.result(report.document(), "\n".join(_lines(report)))
    return report.exit_code


def _lines(report: LintReport) -> list[str]:
    lines = [clean(finding.message) for finding in report.findings[:MAX_SHOWN]]
    if len(report.findings) > MAX_SHOWN:
        lines.append(f"and {len(report.findings) - MAX_SHOWN} more; --json lists all")
    helps = dict.fromkeys(finding.help for finding in report.findings if finding.help)
    lines += [f"help: {clean(text)}" for text in helps]
    lines += [f"note: {clean(note)}" for note in report.notes]
    return [*lines, _summary(report)]


def _summary(report: LintReport) -> str:
    looked = ", ".join(
        f"{number} {_counted(name, number)}"
        for name, number in report.counts.items()
        if name != "leaks"
    )
    faults = len(report.findings)
    verdict = "no faults" if not faults else f"{faults} fault{'s' if faults > 1 else ''}"
    return f"{looked}: {verdict}" if looked else verdict


def _counted(name: str, number: int) -> str:
    return name.removesuffix("s") if number == 1 else name
