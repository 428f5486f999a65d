"""`additive gate A.json B.json`: the verdict alone, from two result files."""

from __future__ import annotations

from pathlib import Path

import click

import additive
from additive.cli.check import exit_code
from additive.cli.invocation import Invocation
from additive.report.document import read_check
from additive.report.table import plain_table


@click.command("gate")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Results of the base; adds retention, and is needed by --retain.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="FRACTION",
    help="Largest allowed loss.  [default: 0.05]",
)
@click.option(
    "--retain",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="FRACTION",
    help="Smallest share of the reference's gain over the base to keep.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.05,
    metavar="RATE",
    show_default=True,
    help="Error rate of each side of the test.",
)
@click.option("--metric", metavar="NAME", help="Metric to read from an lm-eval samples file.")
@click.option(
    "--filter", "filter_name", metavar="NAME", help="Filter to read from an lm-eval samples file."
)
@click.option("--lower-is-better", is_flag=True, help="Treat lower scores as better, as for wer.")
@click.pass_obj
def command(
    invocation: Invocation,
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
    """Test whether CANDIDATE is no worse than REFERENCE, item by item.

    Reads files of `additive check --results`, lm-eval samples, and lists of {"id", "score"}. Exit
    code 1 when the candidate fails, or the items are too few to tell.

    \b
    Examples:
      additive gate specialist.json merged.json --margin 0.02
    """
    verdict = additive.gate_files(
        invocation.directory / reference,
        invocation.directory / candidate,
        base=invocation.directory / base if base else None,
        margin=margin,
        retain=retain,
        alpha=alpha,
        metric=metric,
        filter=filter_name,
        lower_is_better=lower_is_better,
    )
    document = verdict.document(candidate.stem)
    if invocation.as_json:
        invocation.output.result(document)
    else:
        reason = document["suites"][0]["reason"]
        invocation.output.print(plain_table(read_check(document), 100).rstrip("\n"))
        invocation.output.print(f"\n{document['verdict'].upper()}  {reason}")
    return exit_code(document)
