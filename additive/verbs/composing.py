"""From a request to the engine's recipe: steps, rules and balanced weights around the method.

`build_recipe(workspace, request, scale)` is the only place where names of methods and steps become
objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from additive.errors import UsageError
from additive.spec.method import MethodSpec
from additive.spec.recipe import RuleSpec
from additive.types.norms import total_norm
from additive.verbs.gram_matrices import gram_files
from additive.verbs.requests import MergeRequest, RequestedSource, requested_sources
from additive.workspace import Workspace

if TYPE_CHECKING:
    from additive.merge.method import MergeMethod, Step
    from additive.merge.planned import Plan
    from additive.merge.recipe import BuiltRecipe, Rule


KEEP = "base"


def build_method(spec: MethodSpec) -> MergeMethod:
    """A method with its parameters, checked where they were written.

    Raises: UnknownName, SpecError.
    """
    from additive.merge.methods import METHODS
    from additive.spec.loader import build

    method = METHODS.get(spec.name)
    if spec.name.startswith("mergekit/"):
        _check_kit_parameters(spec)
    return build(spec.parameters, method)


def _check_kit_parameters(spec: MethodSpec) -> None:
    """What mergekit has among the parameters and a recipe has beside them."""
    ours = {"lambda": "the recipe's scale (--scale)", "weight": "a source's (--weight NAME=W)"}
    for key, place in ours.items():
        if key in spec.parameters.value:
            raise spec.parameters.error(f"{key} is given when it should be {place}", key)


def build_steps(specs: Sequence[MethodSpec], place: str) -> tuple[Step, ...]:
    """The steps of one place, `before` or `after`.

    Raises: UnknownName, SpecError; UsageError for a step that belongs to the other place.
    """
    from additive.merge.steps import AFTER, BEFORE, STEPS
    from additive.spec.loader import build

    wrong = AFTER if place == "before" else BEFORE
    other = "after" if place == "before" else "before"
    for spec in specs:
        if spec.name in wrong:
            raise UsageError(
                f"step {spec.name} stands {place} the method when it belongs {other} it",
                help=f"--{other} {spec.name}, or the recipe's key `{other}`",
            )
    return tuple(build(spec.parameters, STEPS.get(spec.name)) for spec in specs)


def build_recipe(workspace: Workspace, request: MergeRequest, scale: float) -> BuiltRecipe:
    """The engine's recipe of a request, weights balanced where a step says so.

    Raises: UnknownName, UsageError, SpecError; what opening a source refuses where norms have to be
    computed.
    """
    from additive.merge.recipe import BuiltRecipe

    method, before = (
        build_method(request.recipe.method),
        build_steps(request.recipe.before, "before"),
    )
    recipe = BuiltRecipe(
        sources=requested_sources(request, gram_files(workspace, request)),
        method=method,
        settings=request.recipe.model_copy(update={"scale": scale}),
        rules=build_rules(request, method),
        before=tuple(step for step in before if not step.overrides("balance")),
        after=build_steps(request.recipe.after, "after"),
    )
    for step in before:
        if step.overrides("balance"):
            recipe = _balanced(workspace, request, recipe, step)
    return recipe


def build_rules(request: MergeRequest, method: MergeMethod) -> tuple[Rule, ...]:
    """The request's rules, then the default ones where the method calls for them."""
    from additive.merge.default_rules import default_rules

    own = tuple(_rule(spec) for spec in request.recipe.rules)
    return (*own, *default_rules(method)) if request.recipe.default_rules else own


def _rule(spec: RuleSpec) -> Rule:
    from additive.merge.recipe import Rule

    if spec.method.name != KEEP:
        return Rule(spec.match, build_method(spec.method), spec.scale)
    said = [*spec.method.parameters.value, *(["scale"] if spec.scale != 1.0 else [])]
    if said:
        raise spec.method.parameters.error(
            f"{said[0]} is given when the rule {spec.match!r} keeps the base's values", said[0]
        )
    return Rule(spec.match, None, spec.scale)


def _balanced(
    workspace: Workspace, request: MergeRequest, recipe: BuiltRecipe, step: Step
) -> BuiltRecipe:
    factors = step.balance([_length(workspace, source) for source in request.sources])
    sources = tuple(
        replace(source, weight=source.weight * factor)
        for source, factor in zip(recipe.sources, factors, strict=True)
    )
    return replace(recipe, sources=sources)


def _length(workspace: Workspace, source: RequestedSource) -> float:
    """‖τ‖ of a whole source: from its manifest, or computed where that has no norms of it."""
    from additive.deltas.base import open_base
    from additive.deltas.open import open_deltas
    from additive.deltas.source import delta_norms

    known = source.artifact.manifest.norms
    if known and source.snapshot is None:
        return total_norm(known)
    base = open_base(workspace.base_directory())
    opened = open_deltas(source.directory, base, source.artifact.name, source.artifact.digest)
    try:
        return total_norm(delta_norms(opened))
    finally:
        opened.close()
        base.close()


def planned(workspace: Workspace, recipe: BuiltRecipe) -> Plan:
    """The engine's plan; every refusal that headers can give comes from here."""
    from additive.merge.plan import plan
    from additive.workspace.inputs import base_identity

    root = workspace.store.root
    root.mkdir(parents=True, exist_ok=True)
    return plan(recipe, workspace.base_directory(), base_identity(workspace), disk=root)
