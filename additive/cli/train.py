"""`additive train DOMAIN…`: each alone to saturation, then frozen."""

from __future__ import annotations

import click

import additive
from additive.cli.invocation import Invocation
from additive.cli.progress import show_progress

SCHEMA = "additive.train/1"


PLAN_SCHEMA = "additive.plan/1"


@click.command("train")
@click.argument("domains", nargs=-1, required=True, metavar="DOMAIN...")
@click.option(
    "--plan", is_flag=True, help="Show steps, time, memory and disk needed, without training."
)
@click.option("--wait", is_flag=True, help="Wait for another run on the same domain to end.")
@click.pass_obj
def command(invocation: Invocation, domains: tuple[str, ...], plan: bool, wait: bool) -> None:
    """Train each DOMAIN alone on the locked base until it is saturated, then freeze it.

    The same command continues an interrupted run. It does nothing when no input has changed.

    \b
    Examples:
      additive train math
      additive train math code safety --plan
    """
    workspace = invocation.workspace
    if plan:
        plans = [additive.plan_training(workspace, name) for name in domains]
        document = {"schema": PLAN_SCHEMA, "plans": [plan.document() for plan in plans]}
        invocation.output.result(document, "\n\n".join(plan.text() for plan in plans))
        return
    with show_progress(invocation) as progress:
        results = [
            additive.reuse_trained(workspace, name)
            or additive.train_domain(workspace, name, progress, wait=wait)
            for name in domains
        ]
    document = {"schema": SCHEMA, "domains": [result.document() for result in results]}
    invocation.output.result(document, "\n".join(result.line() for result in results))
