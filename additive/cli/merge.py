"""`additive merge DOMAIN… | RECIPE`: build, then check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from additive.cli.check import exit_code, report_check
from additive.cli.options import options_of, parse_value, recipe_options
from additive.cli.progress import show_progress
from additive.cli.session import Session
from additive.errors import UsageError
from additive.types.progress import Listener
from additive.workspace import Workspace

if TYPE_CHECKING:
    from additive.verbs.built_merge import BuiltMerge
    from additive.verbs.merge_request import MergeRequest
    from additive.verbs.mergekit import KitRequest


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
    help="A parameter of the method (repeatable).",
)
@recipe_options
@click.option("--name", metavar="NAME", help="Name of the merge.")
@click.option(
    "--check/--no-check", "checked", default=True, help="Evaluate and gate the merge (default)."
)
@click.option(
    "--plan", is_flag=True, help="What would be read, written and needed; nothing is touched."
)
@click.option("--wait", is_flag=True, help="Wait for another run on the same merge to end.")
@click.pass_obj
def command(
    session: Session,
    sources: tuple[str, ...],
    weights: tuple[str, ...],
    parameters: tuple[str, ...],
    checked: bool,
    plan: bool,
    wait: bool,
    **given: Any,
) -> int:
    """Add frozen specialists to the base, exactly, then check that nothing was lost.

    \b
      additive merge math code safety
      additive merge math code --method ties --set density=0.3 --weight code=0.8
      additive merge math code --before pico --method tsv_m --after svc --output adapter --rank 64
      additive merge merges/release.yaml --plan      (ours, or a mergekit file as it is)
    """
    from additive.verbs.merge_request import request_merge
    from additive.workspace.inputs import base_identity

    options = {
        **options_of(given),
        "parameters": {key: parse_value(text) for key, text in _pairs(parameters, "--set")},
        "weights": {key: _number(text, "--weight") for key, text in _pairs(weights, "--weight")},
    }
    from additive.verbs.mergekit import mergekit_name, request_mergekit

    workspace = session.workspace
    base, file = base_identity(workspace), mergekit_name(workspace, sources)
    request = (
        request_merge(workspace, sources, options, base)
        if file is None
        else request_mergekit(workspace, file, options, base)
    )
    if plan:
        return _print_plan(session, request)
    with show_progress(quiet=session.quiet, color=session.output.color) as listen:
        built = _build(workspace, request, listen, wait)
        document = None
        if checked:
            from additive.verbs.check import check_merge

            document = check_merge(workspace, built.artifact, listen)
    return _print(session, built, document)


def _build(
    workspace: Workspace, request: MergeRequest | KitRequest, progress: Listener, wait: bool
) -> BuiltMerge:
    from additive.verbs.built_merge import reuse_merge
    from additive.verbs.mergekit import KitRequest, build_mergekit

    if isinstance(request, KitRequest):
        return build_mergekit(workspace, request, progress, wait=wait)
    built = reuse_merge(workspace, request)
    if built is not None:
        return built
    from additive.verbs.merge import build_merge

    return build_merge(workspace, request, progress, wait=wait)


def _print(session: Session, built: BuiltMerge, document: dict[str, Any] | None) -> int:
    said = {"schema": SCHEMA, **built.document(), "verdict": None}
    if document is None:
        session.output.result(said, built.line())
        return 0
    said |= {"verdict": document["verdict"], "check": document}
    if session.as_json:
        session.output.result(said)
    else:
        session.output.say(built.line())
        report_check(session.output, session.workspace, document)
    nothing_asked = document["verdict"] == "not checked" and not session.workspace.suite_names()
    return 0 if nothing_asked else exit_code(document)


def _print_plan(session: Session, request: MergeRequest | KitRequest) -> int:
    from additive.verbs.merge import plan_merge
    from additive.verbs.mergekit import KitRequest, plan_document, plan_text

    if isinstance(request, KitRequest):
        document = plan_document(session.workspace, request)
        session.output.result(document, plan_text(document))
        return 0
    planned = plan_merge(session.workspace, request)
    session.output.result(planned.document(), planned.text())
    return 0


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
