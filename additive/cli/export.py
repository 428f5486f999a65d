"""`additive export RECIPE --to mergekit`: a recipe in another tool's words."""

from __future__ import annotations

import click

from additive.cli.session import Session

SCHEMA = "additive.export/1"


@click.command("export")
@click.argument("recipe")
@click.option(
    "--to",
    "target",
    type=click.Choice(["mergekit"]),
    required=True,
    help="The tool that is to read it.",
)
@click.pass_obj
def command(session: Session, recipe: str, target: str) -> None:
    """Print the recipe RECIPE as a file of another tool that gives the same merge.

    What the other tool computes differently is refused, with the method that is the same in both.

    \b
      additive export release --to mergekit > release.mergekit.yaml
    """
    from additive.verbs.export import export_mergekit

    text = export_mergekit(session.workspace, recipe)
    session.output.result({"schema": SCHEMA, "to": target, "text": text}, text.rstrip("\n"))
