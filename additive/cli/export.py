"""`additive export RECIPE --to mergekit`: a recipe as a file of another tool."""

from __future__ import annotations

import click

import additive
from additive.cli.invocation import Invocation

SCHEMA = "additive.export/1"


@click.command("export")
@click.argument("recipe")
@click.option(
    "--to", "target", type=click.Choice(["mergekit"]), required=True, help="Tool to export to."
)
@click.pass_obj
def command(invocation: Invocation, recipe: str, target: str) -> None:
    """Print RECIPE as a file with which another tool builds the same merge.

    A method that the other tool computes differently is refused; the message names one that both
    compute alike.

    \b
    Examples:
      additive export release --to mergekit > release.mergekit.yaml
    """
    text = additive.export_mergekit(invocation.workspace, recipe)
    invocation.output.result({"schema": SCHEMA, "to": target, "text": text}, text.rstrip("\n"))
