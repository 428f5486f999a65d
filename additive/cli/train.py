"""`additive train DOMAIN…`: each alone to saturation, then frozen."""

from __future__ import annotations

import click

from additive.cli.progress import show_progress
from additive.cli.session import Session

SCHEMA = "additive.train/1"


@click.command("train")
@click.argument("domains", nargs=-1, required=True, metavar="DOMAIN...")
@click.option(
    "--plan", is_flag=True, help="Say what would be done, time, memory and disk; train nothing."
)
@click.option("--wait", is_flag=True, help="Wait for another run on the same domain to end.")
@click.pass_obj
def command(session: Session, domains: tuple[str, ...], plan: bool, wait: bool) -> None:
    """Train each DOMAIN alone on the locked base until it is saturated, and freeze it.

    The same command continues what was interrupted, and does nothing when nothing changed.

    \b
      additive train math
      additive train math code safety --plan
    """
    if plan:
        _print_plans(session, domains)
        return
    from additive.verbs.train import train_domain

    results = []
    with show_progress(quiet=session.quiet, color=session.output.color) as listen:
        for name in domains:
            results.append(train_domain(session.workspace, name, listen, wait=wait))
    document = {"schema": SCHEMA, "domains": [result.document() for result in results]}
    session.output.result(document, "\n".join(result.line() for result in results))


def _print_plans(session: Session, domains: tuple[str, ...]) -> None:
    from additive.verbs.train import plan_training

    plans = [plan_training(session.workspace, name) for name in domains]
    session.output.result(
        {"schema": "additive.plan/1", "plans": [plan.document() for plan in plans]},
        "\n\n".join(plan.text() for plan in plans),
    )
