"""Short ways to a merge in tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from additive.merge.engine import execute
from additive.merge.plan import plan
from additive.merge.planned import MergeReport, Plan
from additive.merge.recipe import UNSCALED, BuiltRecipe, SourceSpec, build_method
from additive.types.digests import digest_json


def source(directory: Path, weight: float = 1.0, name: str | None = None) -> SourceSpec:
    """A source whose digest is made from its folder's name."""
    return SourceSpec(name or directory.name, digest_json(directory.name), directory, weight)


def recipe(
    *sources: SourceSpec, method: str = "task_arithmetic", parameters=None, **fields
) -> BuiltRecipe:
    """A recipe of these sources; `fields` are options of a merge, or rules and steps as objects."""
    built = {key: fields.pop(key) for key in ("rules", "before", "after") if key in fields}
    settings = UNSCALED.model_copy(update=fields)
    return BuiltRecipe(sources, build_method(method, parameters), settings, **built)


def changed(made: BuiltRecipe, **options) -> BuiltRecipe:
    """A recipe with other options; values are not checked, so that the engine's own checks are."""
    return replace(made, settings=made.settings.model_copy(update=options))


def plan_of(base: Path, *directories: Path, **fields) -> Plan:
    """The plan that merges these folders."""
    return plan(recipe(*map(source, directories), **fields), base)


def merge(out: Path, base: Path, made: BuiltRecipe, **how) -> MergeReport:
    """Plan and execute."""
    out.mkdir(parents=True)
    return execute(plan(made, base), out, **how)
