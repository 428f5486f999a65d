"""From a request to the engine's recipe: steps, rules and balanced weights around the method."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from additive.types.norms import total_norm
from additive.verbs.gram_matrices import gram_files
from additive.verbs.requests import MergeRequest, RequestedSource, requested_sources
from additive.workspace import Workspace

if TYPE_CHECKING:
    from additive.merge.method import Step
    from additive.merge.planned import Plan
    from additive.merge.recipe import BuiltRecipe


def build_recipe(workspace: Workspace, request: MergeRequest, scale: float) -> BuiltRecipe:
    """The engine's recipe of a request, weights balanced where a step says so.

    Raises: UnknownName, UsageError, SpecError; what opening a source refuses where norms have to be
    computed.
    """
    from additive.merge.default_rules import default_rules
    from additive.merge.recipe import BuiltRecipe, build_method, build_rule, build_steps

    method = build_method(request.recipe.method)
    before = build_steps(request.recipe.before, "before")
    rules = tuple(build_rule(spec) for spec in request.recipe.rules)
    if request.recipe.default_rules:
        rules += default_rules(method)
    recipe = BuiltRecipe(
        sources=requested_sources(request, gram_files(workspace, request)),
        method=method,
        settings=request.recipe.model_copy(update={"scale": scale}),
        rules=rules,
        before=tuple(step for step in before if not step.overrides("balance")),
        after=build_steps(request.recipe.after, "after"),
    )
    for step in before:
        if step.overrides("balance"):
            recipe = _balanced(workspace, request, recipe, step)
    return recipe


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
