"""Sources prepared once; then a candidate of any method and weights costs R×R steps.

`prepare` does what depends on the sources alone: the QR of the stacked factors of every matrix that
its sources adapted with LoRA. `apply` does the rest. With a cache directory the decompositions are
kept in one file named by the sources' digests, mapped when they are needed again, and give the same
bits as fresh ones; their triangles, which a diagnosis needs, in another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from additive.artifacts.atomic import write_tensors
from additive.deltas.base import open_base
from additive.deltas.model import Delta, LowRank, combine
from additive.errors import RefusedError, UnknownName, UsageError
from additive.merge.apply import merged_part
from additive.merge.core import (
    Core,
    Triangles,
    core_of_factors,
    core_with,
    keep_triangles,
    triangles_file,
    with_grams,
)
from additive.merge.method import DeltaStack, MergeMethod
from additive.merge.methods.arithmetic import TaskArithmetic
from additive.merge.planned import ENGINE
from additive.merge.recipe import (
    BuiltRecipe,
    ParameterRecipe,
    ParameterRule,
    SourceSpec,
    build_method,
    check_sources,
)
from additive.merge.sources import Sources, open_sources
from additive.merge.threads import each, worker_count
from additive.spec.recipe import MergeSpec
from additive.tensors.reader import open_file
from additive.types.digests import Digest, digest_json

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Prepared:
    """Opened sources, with the core space of every matrix that is low-rank in all of them.

    Example:
        with prepare(base, sources) as prepared:
            for method in ("tsv_m", "swudi"):
                deltas = prepared.apply(method, {"math": 0.7})
    """

    opened: Sources
    cores: Mapping[str, Core]

    def apply(
        self,
        method: MergeMethod | str,
        weights: Mapping[str, float] | None = None,
        scale: float = 1.0,
        *,
        of: Sequence[str] | None = None,
        rules: Sequence[ParameterRule] = (),
    ) -> dict[str, Delta]:
        """The merged delta of every parameter that these sources trained.

        method   one with its parameters, or a name: then with those that it has by itself
        weights  by source name, 1 where not said
        of       the sources that are merged, all when not said: of several snapshots that were
                 prepared together, one; the others count for nothing
        rules    for single parameters, as in a recipe; `default_rules(method)` has a merge's own

        Raises: UnknownName for a source or method that is none; UsageError for numbers that are not
        finite; what the method refuses of weights.
        """
        method = build_method(method) if isinstance(method, str) else method
        chosen = self._chosen(weights or {}, of)
        if not math.isfinite(scale):
            raise UsageError(f"scale is {scale}; expected a finite number")
        for one in (method, *(rule.method for rule in rules)):
            self._check_grams(one, chosen)
            if one is not None:
                one.check_weights(tuple(chosen.values()))
        recipe = BuiltRecipe((), method, MergeSpec(scale=scale), rules=tuple(rules))
        names = [n for n in self.opened.parameters() if chosen.keys() & self.opened.touching(n)]
        survey = self._survey(recipe, chosen, names)

        def merge(name: str) -> Delta:
            return self._merge(name, recipe.part(name), chosen, survey)

        return dict(zip(names, each(merge, names, worker_count()), strict=True))

    def close(self) -> None:
        """Let go of all files."""
        self.opened.close()

    def __enter__(self) -> Prepared:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _chosen(self, given: Mapping[str, float], of: Sequence[str] | None) -> dict[int, float]:
        """The weights of the sources that are merged, by position."""
        names = [source.name for source in self.opened.sources]
        wanted = names if of is None else list(of)
        for name, known in [(name, names) for name in wanted] + [(n, wanted) for n in given]:
            if name not in known:
                raise UnknownName("source", name, known)
        if not wanted:
            raise UsageError("a merge needs at least one source")
        chosen = {i: float(given.get(n, 1.0)) for i, n in enumerate(names) if n in wanted}
        for position, weight in chosen.items():
            if not math.isfinite(weight):
                raise UsageError(
                    f"weight of {names[position]} is {weight}; expected a finite number"
                )
        return chosen

    def _check_grams(self, method: MergeMethod | None, chosen: Mapping[int, float]) -> None:
        """Inputs were seen along the factors of all prepared sources, so those are merged."""
        if method is not None and method.needs_grams and len(chosen) < len(self.opened.sources):
            raise UsageError(
                f"{len(chosen)} of {len(self.opened.sources)} prepared sources are merged when"
                f" {type(method).__name__} weighs inputs along the factors of all of them",
                help="prepare these sources by themselves",
            )

    def _survey(
        self, recipe: BuiltRecipe, chosen: Mapping[int, float], names: Sequence[str]
    ) -> Any:
        """What a method of scope `model` concludes from all parameters that no rule decides."""
        method = recipe.method
        if method.scope != "model":
            return None
        own = [name for name in names if not recipe.part(name).from_rule]
        surveys = each(lambda n: method.survey(self._stack(n, chosen)), own, worker_count())
        return method.conclude(dict(zip(own, surveys, strict=True)))

    def _stack(self, name: str, chosen: Mapping[int, float]) -> DeltaStack:
        stack, touching = self.opened.stack(name, 0), self.opened.touching(name)
        return replace(
            stack,
            deltas=_picked(stack.deltas, touching, chosen),
            sources=_picked(stack.sources, touching, chosen),
            weights=tuple(chosen[i] for i in touching if i in chosen),
            count=len(chosen),
            total=sum(chosen.values()),
        )

    def _merge(
        self, name: str, part: ParameterRecipe, chosen: Mapping[int, float], survey: Any
    ) -> Delta:
        method, core = part.method, self.cores.get(name)
        # A sum is quicker on the factors than back from its core, and has the bits of the merge.
        if core is None or method is None or not method.has_core_form or method.is_linear:
            stack = self._stack(name, chosen)
            ready = stack if part.from_rule or survey is None else replace(stack, survey=survey)
            return merged_part(part, ready)
        if method.needs_grams:
            core = with_grams(core, self.opened.stack(name, 0))
        touching = self.opened.touching(name)
        weighted = replace(
            core,
            matrices=_picked(core.matrices, touching, chosen),
            ranks=_picked(core.ranks, touching, chosen),
            sizes=_picked(core.sizes, touching, chosen),
            sources=_picked(core.sources, touching, chosen),
            weights=tuple(chosen[i] for i in touching if i in chosen),
            count=len(chosen),
            total=sum(chosen.values()),
        )
        merged = core.lift(method.merge_core(weighted), self.opened.base.shape(name))
        return merged if part.scale == 1.0 else combine([(part.scale, merged)])


def _picked(
    items: tuple[Item, ...], touching: Sequence[int], chosen: Mapping[int, float]
) -> tuple[Item, ...]:
    return tuple(item for item, i in zip(items, touching, strict=True) if i in chosen)


def prepare(
    base_directory: Path, sources: Sequence[SourceSpec], cache: Path | None = None
) -> Prepared:
    """Open sources against their base and decompose their factors, or map what was kept.

    Raises: UsageError for a specialist that is there twice; CompatibilityError, IntegrityError,
    SecurityError, see `open_deltas`; ResourceError for the disk of the cache.
    """

    check_sources(sources)
    opened = open_sources(BuiltRecipe(tuple(sources), TaskArithmetic()), open_base(base_directory))
    stacks = {
        name: stack for name in opened.parameters() if _is_low_rank(stack := opened.stack(name, 0))
    }
    digests = [source.digest for source in opened.sources]
    path = cache / f"cores-{digest_json([ENGINE, digests])[:16]}.safetensors" if cache else None
    kept = _read(path, stacks) if path and path.exists() else None
    return Prepared(opened, kept or _decompose(stacks, path, digests))


def _decompose(
    stacks: Mapping[str, DeltaStack], path: Path | None, digests: Sequence[Digest]
) -> dict[str, Core]:
    made = list(each(_decomposed, stacks.values(), worker_count()))
    cores = {name: core for name, (core, _) in zip(stacks, made, strict=True)}
    if path is not None:
        write_tensors(path, {key: t for name, c in cores.items() for key, t in _parts(name, c)})
        triangles = {name: found for name, (_, found) in zip(stacks, made, strict=True)}
        keep_triangles(triangles_file(path.parent, digests), triangles)
    return cores


def _is_low_rank(stack: DeltaStack) -> bool:
    return stack.is_matrix and all(isinstance(delta, LowRank) for delta in stack.deltas)


def _parts(name: str, core: Core) -> list[tuple[str, Tensor]]:
    matrices = [(f"{name}.core.{i}", matrix) for i, matrix in enumerate(core.matrices)]
    assert core.left is not None
    assert core.right is not None
    return [(f"{name}.left", core.left), (f"{name}.right", core.right), *matrices]


def _decomposed(stack: DeltaStack) -> tuple[Core, Triangles]:
    """The core as a file gives it back: the bits of a product depend on the order in memory."""
    low = [delta for delta in stack.deltas if isinstance(delta, LowRank)]
    core, triangles = core_of_factors(stack, low)
    assert core.left is not None
    assert core.right is not None
    left, right = core.left.contiguous(), core.right.contiguous()
    matrices = tuple(matrix.contiguous() for matrix in core.matrices)
    in_rows = Triangles(triangles.B.contiguous(), triangles.A.contiguous())
    return replace(core, left=left, right=right, matrices=matrices), in_rows


def _read(path: Path, stacks: Mapping[str, DeltaStack]) -> dict[str, Core] | None:
    """The cores that were kept; None where the file is damaged."""
    try:
        kept = open_file(path)
        return {
            name: core_with(
                stack,
                kept.tensor(f"{name}.left"),
                kept.tensor(f"{name}.right"),
                [kept.tensor(f"{name}.core.{i}") for i in range(len(stack.deltas))],
            )
            for name, stack in stacks.items()
        }
    except (RefusedError, UnknownName):
        return None
