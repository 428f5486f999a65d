"""Short ways to a merge in tests."""

from __future__ import annotations

from pathlib import Path

from additive.merge.engine import execute
from additive.merge.plan import plan
from additive.merge.planned import MergeReport, Plan
from additive.merge.recipe import Recipe, SourceSpec, build_method
from additive.types.digests import digest_json


def source(directory: Path, weight: float = 1.0, name: str | None = None) -> SourceSpec:
    """A source whose digest is made from its folder's name."""
    return SourceSpec(name or directory.name, digest_json(directory.name), directory, weight)


def recipe(
    *sources: SourceSpec, method: str = "task_arithmetic", parameters=None, **fields
) -> Recipe:
    """A recipe of these sources."""
    return Recipe(sources=sources, method=build_method(method, parameters), **fields)


def plan_of(base: Path, *directories: Path, **fields) -> Plan:
    """The plan that merges these folders."""
    return plan(recipe(*map(source, directories), **fields), base)


def merge(out: Path, base: Path, made: Recipe, **how) -> MergeReport:
    """Plan and execute."""
    out.mkdir(parents=True)
    return execute(plan(made, base), out, **how)
