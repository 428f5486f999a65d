"""`additive merge DOMAIN… | RECIPE`: build, then check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

import additive
from additive.cli.check import exit_code, print_check
from additive.cli.invocation import Invocation
from additive.cli.options import options_of, parse_value, recipe_options
from additive.cli.progress import show_progress
from additive.errors import EXIT_OK, UsageError
from additive.types.progress import Listener
from additive.verbs.mergekit import (
    KitRequest,
    build_mergekit,
    mergekit_name,
    plan_document,
    plan_text,
    request_mergekit,
)
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace

if TYPE_CHECKING:
    from additive.verbs.built_merge import BuiltMerge
    from additive.verbs.merge_request import MergeRequest


SCHEMA = "additive.merge/1"


@click.command("merge")
@click.argument("sources", nargs=-1, required=True, metavar="DOMAIN... | RECIPE")
@click.option(
    "--weight",
    "weights",
    multiple=True,
    metavar="DOMAIN=W",
    help="Weight of one source (repeatable).",
)
@click.option(
    "--set",
    "parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Parameter of the method (repeatable).",
)
@recipe_options
@click.option("--name", metavar="NAME", help="Name of the merge.  [default: its domains]")
@click.option(
    "--check/--no-check",
    "checked",
    default=True,
    help="Evaluate the merge and run the gate.  [default: on]",
)
@click.option(
    "--plan",
    is_flag=True,
    help="Show what would be read, written and needed, without merging.",
)
@click.option("--wait", is_flag=True, help="Wait for another run on the same merge to end.")
@click.pass_obj
def command(
    invocation: Invocation,
    sources: tuple[str, ...],
    weights: tuple[str, ...],
    parameters: tuple[str, ...],
    checked: bool,
    plan: bool,
    wait: bool,
    **fields: Any,
) -> int:
    """Add the deltas of frozen specialists to the base, then check the merge for regressions.

    RECIPE is a file in merges/, in the format of additive or of mergekit. Options override it and
    the defaults in additive.yaml. The exit code is that of `additive check`, or 0 with --no-check.

    \b
    Examples:
      additive merge math code safety
      additive merge math code --method ties --set density=0.3 --weight code=0.8
      additive merge math code --before pico --method tsv_m --after svc --output adapter --rank 64
      additive merge merges/release.yaml --plan
    """
    options = {
        **options_of(fields),
        "parameters": {key: parse_value(text) for key, text in _pairs(parameters, "--set")},
        "weights": {key: _number(text, "--weight") for key, text in _pairs(weights, "--weight")},
    }
    workspace = invocation.workspace
    base, file = base_identity(workspace), mergekit_name(workspace, sources)
    request = (
        additive.request_merge(workspace, sources, options, base)
        if file is None
        else request_mergekit(workspace, file, options, base)
    )
    if plan:
        return _print_plan(invocation, request)
    with show_progress(invocation) as progress:
        built = _build(workspace, request, progress, wait)
        document = additive.check_merge(workspace, built.artifact, progress) if checked else None
    return _print(invocation, built, document)


def _build(
    workspace: Workspace, request: MergeRequest | KitRequest, progress: Listener, wait: bool
) -> BuiltMerge:
    if isinstance(request, KitRequest):
        return build_mergekit(workspace, request, progress, wait=wait)
    # Building imports torch; finding what was built before does not.
    return additive.reuse_merge(workspace, request) or additive.build_merge(
        workspace, request, progress, wait=wait
    )


def _print(invocation: Invocation, built: BuiltMerge, check: dict[str, Any] | None) -> int:
    document = {"schema": SCHEMA, **built.document(), "verdict": None}
    if check is None:
        invocation.output.result(document, built.line())
        return EXIT_OK
    document |= {"verdict": check["verdict"], "check": check}
    if invocation.as_json:
        invocation.output.result(document)
    else:
        invocation.output.say(built.line())
        print_check(invocation.output, invocation.workspace, check)
    without_suites = check["verdict"] == "not checked" and not invocation.workspace.suite_names()
    return EXIT_OK if without_suites else exit_code(check)


def _print_plan(invocation: Invocation, request: MergeRequest | KitRequest) -> int:
    if isinstance(request, KitRequest):
        document = plan_document(invocation.workspace, request)
        invocation.output.result(document, plan_text(document))
    else:
        plan = additive.plan_merge(invocation.workspace, request)
        invocation.output.result(plan.document(), plan.text())
    return EXIT_OK


def _pairs(given: Sequence[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise UsageError(f"{option} is {text!r}; expected NAME=VALUE")
        pairs.append((key, value))
    keys = [key for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise UsageError(f"{option} {twice!r} is given twice; expected given once")
    return pairs


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option} is {text!r}; expected a number") from None
