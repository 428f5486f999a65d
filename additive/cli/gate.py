"""`additive gate A.json B.json`: the verdict alone, from two result files."""

from __future__ import annotations

from pathlib import Path

import click

from additive.cli.check import exit_code
from additive.cli.session import Session


@click.command("gate")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="The base's results: gives retention, and allows --retain.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True),
    help="Loss that is allowed, a fraction (default 0.05).",
)
@click.option(
    "--retain",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the reference's gain that must be kept.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Error of each side.",
)
@click.option("--metric", metavar="NAME", help="Which score of an lm-eval samples file.")
@click.option(
    "--filter", "filter_name", metavar="NAME", help="Which filter of an lm-eval samples file."
)
@click.option("--lower-is-better", is_flag=True, help="Of this score less is better (such as wer).")
@click.pass_obj
def command(
    session: Session,
    reference: Path,
    candidate: Path,
    base: Path | None,
    margin: float | None,
    retain: float | None,
    alpha: float,
    metric: str | None,
    filter_name: str | None,
    lower_is_better: bool,
) -> int:
    """Is CANDIDATE no worse than REFERENCE, item by item?

    Reads the files of `additive check --results`, lm-eval's samples, and lists of {"id", "score"}.

    \b
      additive gate specialist.json merged.json --margin 0.02
    """
    from additive.gate.files import gate_files
    from additive.report.document import read_check
    from additive.report.table import plain_table

    verdict = gate_files(
        session.directory / reference,
        session.directory / candidate,
        base=session.directory / base if base else None,
        margin=margin,
        retain=retain,
        alpha=alpha,
        metric=metric,
        filter=filter_name,
        lower_is_better=lower_is_better,
    )
    document = verdict.document(candidate.stem)
    if session.as_json:
        session.output.result(document)
    else:
        worst = document["suites"][0]
        session.output.print(plain_table(read_check(document), 100).rstrip("\n"))
        session.output.print(f"\n{document['verdict'].upper()}  {worst['reason']}")
    return exit_code(document)
