"""`additive report MERGE`: the pages of its newest check."""

from __future__ import annotations

import click

import additive
from additive.cli.invocation import Invocation

SCHEMA = "additive.report/1"


@click.command("report")
@click.argument("merge")
@click.pass_obj
def command(invocation: Invocation, merge: str) -> None:
    """Write an HTML page and a Markdown page about the newest check of MERGE.

    They show the verdict, learning curves, lineage, digests and the items that the merge lost.

    \b
    Examples:
      additive report math+code+safety
    """
    pages = additive.report_merge(invocation.workspace, merge)
    document = {
        "schema": SCHEMA,
        "html": str(pages.html),
        "markdown": str(pages.markdown),
        "json": str(pages.document),
    }
    invocation.output.result(document, f"{pages.html}\n{pages.markdown}")
