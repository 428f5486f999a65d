"""`additive ask NAME… "prompt"`: base, specialists and merges side by side."""

from __future__ import annotations

import click

from additive.cli.session import Session
from additive.errors import UsageError

SCHEMA = "additive.ask/1"


@click.command("ask")
@click.argument("names", nargs=-1, required=True, metavar="NAME... PROMPT")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Longest answer.",
)
@click.option("--system", help="System message put before the prompt.")
@click.pass_obj
def command(session: Session, names: tuple[str, ...], max_tokens: int, system: str | None) -> None:
    """Ask several models the same thing; the last word is the prompt.

    \b
      additive ask tiny math math+code+safety "Tom has 12 apples, buys 7, eats 5. How many?"
    """
    from additive.verbs.ask import BASE, ask

    *models, prompt = names
    workspace = session.workspace
    if not models and prompt in (BASE, workspace.spec.base.model, *workspace.store.names()):
        raise UsageError(
            f"{prompt} is a model; expected a question after the models",
            help=f'additive ask {prompt} "your question"',
        )
    answers = ask(workspace, models, prompt, max_tokens=max_tokens, system=system)
    document = {
        "schema": SCHEMA,
        "prompt": prompt,
        "answers": [{"name": answer.name, "answer": answer.text} for answer in answers],
    }
    rows = [[answer.name, answer.text] for answer in answers]
    session.output.result(document, session.output.table(["model", "answer"], rows))
