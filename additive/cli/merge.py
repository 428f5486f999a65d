"""`additive merge DOMAIN… | RECIPE`: build, then check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from additive.cli.check import exit_code, report_check
from additive.cli.options import parse_rule, parse_steps, parse_value
from additive.cli.progress import show_progress
from additive.cli.session import Session
from additive.errors import UsageError, did_you_mean
from additive.types.progress import Listener
from additive.workspace import Workspace

if TYPE_CHECKING:
    from additive.verbs.built import Built
    from additive.verbs.mergekit import KitRequest
    from additive.verbs.requests import MergeRequest


SCHEMA = "additive.merge/1"


_SCALES = ("validation",)


@click.command("merge")
@click.argument("sources", nargs=-1, required=True, metavar="DOMAIN... | RECIPE")
@click.option("--method", metavar="NAME", help="A merge method; see `additive list methods`.")
@click.option(
    "--weight",
    "weights",
    multiple=True,
    metavar="DOMAIN=W",
    help="Weight of one source (repeatable).",
)
@click.option(
    "--scale", metavar="S|validation", help="λ, or `validation` to choose it on validation rows."
)
@click.option(
    "--set",
    "parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter of the method (repeatable).",
)
@click.option(
    "--output",
    type=click.Choice(["checkpoint", "adapter"]),
    help="A whole model, or a PEFT adapter.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    help="Numbers of the output.",
)
@click.option(
    "--rank",
    type=click.IntRange(min=1),
    help="Rank of an adapter as output: the best approximation, for any method.",
)
@click.option(
    "--vocabulary",
    type=click.Choice(["same", "trim", "extend"]),
    help="Embeddings of other sizes: refuse (same), leave the fewest rows, take the most.",
)
@click.option(
    "--before",
    multiple=True,
    metavar="STEP",
    help="A step on the sources: balance, pico (repeatable; none for none).",
)
@click.option(
    "--after",
    multiple=True,
    metavar="STEP",
    help="A step on the result: svc, lines:first=0.5 (repeatable; none for none).",
)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="PATTERN=METHOD",
    help="Another method for some parameters; base keeps the base's (repeatable).",
)
@click.option(
    "--default-rules/--no-default-rules",
    default=None,
    help="Average or sum embeddings, norms and heads under a method that is no sum (default).",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of methods that draw at random.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where the arithmetic is done.",
)
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
    method: str | None,
    weights: tuple[str, ...],
    scale: str | None,
    parameters: tuple[str, ...],
    output: str | None,
    dtype: str | None,
    rank: int | None,
    vocabulary: str | None,
    before: tuple[str, ...],
    after: tuple[str, ...],
    rules: tuple[str, ...],
    default_rules: bool | None,
    seed: int | None,
    device: str,
    name: str | None,
    checked: bool,
    plan: bool,
    wait: bool,
) -> int:
    """Add frozen specialists to the base, exactly, then check that nothing was lost.

    \b
      additive merge math code safety
      additive merge math code --method ties --set density=0.3 --weight code=0.8
      additive merge math code --before pico --method tsv_m --after svc --output adapter --rank 64
      additive merge merges/release.yaml --plan      (ours, or a mergekit file as it is)
    """
    from additive.verbs.requests import MergeOptions, request_merge
    from additive.workspace.inputs import base_identity

    options = MergeOptions(
        method=method,
        parameters={key: parse_value(text) for key, text in _pairs(parameters, "--set")},
        weights={key: _number(text, "--weight") for key, text in _pairs(weights, "--weight")},
        scale=_scale(scale),
        output=output,
        dtype=dtype,
        seed=seed,
        name=name,
        before=parse_steps(before, "--before"),
        after=parse_steps(after, "--after"),
        rules=tuple(parse_rule(text) for text in rules),
        default_rules=default_rules,
        rank=rank,
        vocabulary=vocabulary,
        device=device,
    )
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
) -> Built:
    from additive.verbs.merge import build_merge
    from additive.verbs.mergekit import KitRequest, build_mergekit

    if isinstance(request, KitRequest):
        return build_mergekit(workspace, request, progress, wait=wait)
    return build_merge(workspace, request, progress, wait=wait)


def _print(session: Session, built: Built, document: dict[str, Any] | None) -> int:
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
    return exit_code(document)


def _print_plan(session: Session, request: MergeRequest | KitRequest) -> int:
    from additive.verbs.mergekit import KitRequest, plan_document, plan_text
    from additive.verbs.planning import plan_merge

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
            raise UsageError(f"{option} is {text!r} when it should be NAME=VALUE")
        pairs.append((key, value))
    keys = [key for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise UsageError(f"{option} {twice!r} is given twice when it should be given once")
    return pairs


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option} is {text!r} when it should be a number") from None


def _scale(text: str | None) -> float | str | None:
    if text is None or text in _SCALES:
        return text
    try:
        return float(text)
    except ValueError:
        known = did_you_mean(text, _SCALES)
        raise UsageError(
            f"--scale is {text!r} when it should be a number or validation{known}"
        ) from None
