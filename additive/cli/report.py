"""`additive report MERGE`: the pages of its newest check."""

from __future__ import annotations

import click

from additive.cli.session import Session

SCHEMA = "additive.report/1"


@click.command("report")
@click.argument("merge")
@click.pass_obj
def command(session: Session, merge: str) -> None:
    """Write one HTML page and one Markdown page about MERGE: verdict, curves, lineage, lost items.

    \b
      additive report math+code+safety
    """
    from additive.verbs.report import report_merge

    pages = report_merge(session.workspace, merge)
    document = {
        "schema": SCHEMA,
        "html": str(pages.html),
        "markdown": str(pages.markdown),
        "json": str(pages.document),
    }
    session.output.result(document, f"{pages.html}\n{pages.markdown}")
