"""`additive ask NAME… "prompt"`: base, specialists and merges side by side."""

from __future__ import annotations

import click

import additive
from additive.cli.invocation import Invocation

SCHEMA = "additive.ask/1"


@click.command("ask")
@click.argument("names", nargs=-1, required=True, metavar="NAME... PROMPT")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    default=128,
    show_default=True,
    help="Longest answer, in tokens.",
)
@click.option("--system", metavar="TEXT", help="System message before the prompt.")
@click.pass_obj
def command(
    invocation: Invocation, names: tuple[str, ...], max_tokens: int, system: str | None
) -> None:
    """Ask several models the same question and show their answers side by side.

    A NAME is the base, a specialist, a snapshot or a merge; without any the base answers. The last
    argument is the prompt.

    \b
    Examples:
      additive ask tiny math math+code+safety "Tom has 12 apples, buys 7, eats 5. How many?"
    """
    *models, prompt = names
    answers = additive.ask_models(
        invocation.workspace, models, prompt, max_tokens=max_tokens, system=system
    )
    document = {
        "schema": SCHEMA,
        "prompt": prompt,
        "answers": [{"name": answer.name, "answer": answer.text} for answer in answers],
    }
    rows = [[answer.name, answer.text] for answer in answers]
    invocation.output.result(document, invocation.output.table(["model", "answer"], rows))
