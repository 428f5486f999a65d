"""What a merge would do, and everything that speaks against it, from headers alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from additive.artifacts.manifest import BaseIdentity
from additive.deltas.base import FLOATS, Base
from additive.deltas.model import TILE_ELEMENTS
from additive.deltas.source import DeltaSource
from additive.deltas.vocabulary import CHOICES, resized_notes
from additive.errors import CompatibilityError, UnknownName, UsageError
from additive.merge.adapter_out import adapter_bytes, check_adapter_output
from additive.merge.default_rules import beside_notes, check_patterns, check_rules
from additive.merge.planned import DTYPES, Plan, PlannedTensor
from additive.merge.recipe import BuiltRecipe, check_sources
from additive.merge.sources import (
    Sources,
    check_inputs,
    check_lineage,
    check_tokens,
    open_plain_base,
    open_sources,
)
from additive.merge.threads import worker_count
from additive.tensors.disk import require_space
from additive.tensors.header import ITEM_BYTES
from additive.types.digests import Digest, digest_json


def plan(
    recipe: BuiltRecipe,
    base_directory: Path,
    base_identity: BaseIdentity | None = None,
    disk: Path | None = None,
) -> Plan:
    """Check a merge and say what it would read, write and need; no tensor of the base is read.

    base_identity  what frozen sources must have been trained on; without it only shapes are
                   compared
    disk           a directory on the file system of the output, whose free space is checked

    Raises: UsageError and UnknownName for the recipe, CompatibilityError, IntegrityError,
    SecurityError for its inputs, ResourceError for too small a disk, or no such device.
    """
    sources = open_checked(recipe, base_directory, base_identity)
    try:
        return plan_sources(recipe, sources, base_identity, disk)
    finally:
        sources.close()


def open_checked(
    recipe: BuiltRecipe, base_directory: Path, base_identity: BaseIdentity | None = None
) -> Sources:
    """Open a recipe's sources after checking the recipe itself, and that they belong to the base.

    Raises: as `plan`.
    """
    _check_recipe(recipe)
    base = open_plain_base(base_directory)
    for spec in recipe.ordered():
        check_lineage(spec, base_directory, base_identity)
    sources = open_sources(recipe, base)
    try:
        check_tokens(sources.base)
    except CompatibilityError:
        sources.close()
        raise
    return sources


def plan_sources(
    recipe: BuiltRecipe,
    opened: Sources,
    identity: BaseIdentity | None = None,
    disk: Path | None = None,
) -> Plan:
    """As `plan`, of sources that `open_checked` opened."""
    base = opened.base
    check_patterns(recipe, base)
    touched = {name for name in opened.parameters() if recipe.part(name).method is not None}
    _check_touched(touched, base, opened.sources)
    _check_methods(recipe, opened)
    tensors = _in_shards(tuple(_tensors(recipe, opened, touched)), recipe.settings.max_shard_size)
    adapter = recipe.settings.output == "adapter"
    written = sum(tensor.nbytes for tensor in tensors)
    if adapter:
        check_adapter_output(recipe, opened)
        written = adapter_bytes(recipe, opened, touched)
    merged = [tensor for tensor in tensors if tensor.sources]
    sources_bytes = sum(source.nbytes() for source in opened.sources)
    base_bytes = (
        0 if adapter else sum(base.checkpoint.info(n).nbytes for n in base.checkpoint.names())
    )
    if disk is not None:
        require_space(disk, written, "the merge")
    return Plan(
        recipe=recipe,
        base_directory=base.directory,
        base_id=identity.id if identity else str(base.directory),
        base_digest=identity.digest if identity else _headers_digest(base),
        tensors=() if adapter else tensors,
        untied_heads=opened.untied_heads,
        read=base_bytes + sources_bytes,
        written=written,
        memory=_memory(opened, merged) + (_held(recipe, written) if adapter else 0),
        notes=tuple(_notes(recipe, opened)),
        rule_counts=_rule_counts(recipe, opened),
        merged=len(touched),
    )


def _check_recipe(recipe: BuiltRecipe) -> None:
    check_sources(recipe.sources)
    if recipe.settings.dtype not in DTYPES:
        raise UnknownName("dtype", recipe.settings.dtype, DTYPES)
    if recipe.settings.output not in ("checkpoint", "adapter"):
        raise UnknownName("output", recipe.settings.output, ("checkpoint", "adapter"))
    if recipe.settings.vocabulary not in CHOICES:
        raise UnknownName("vocabulary", recipe.settings.vocabulary, CHOICES)
    _check_rank(recipe)
    _check_shards(recipe)
    check_rules(recipe)
    numbers = {"scale": recipe.scale} | {f"weight of {s.name}": s.weight for s in recipe.sources}
    for what, number in numbers.items():
        if not math.isfinite(number):
            raise UsageError(f"{what} is {number}; expected a finite number")


def _check_shards(recipe: BuiltRecipe) -> None:
    if recipe.settings.max_shard_size is not None and recipe.settings.output == "adapter":
        raise UsageError(
            "max_shard_size is for a checkpoint; an adapter is a single file",
            help="leave it out, or use --output checkpoint",
        )


def _check_rank(recipe: BuiltRecipe) -> None:
    if recipe.settings.rank is None:
        return
    if recipe.settings.output != "adapter":
        raise UsageError(
            "rank cannot be used when the output is a checkpoint", help="add --output adapter"
        )
    if recipe.settings.rank < 1:
        raise UsageError(f"rank is {recipe.settings.rank}; expected at least 1")


def _check_touched(touched: Iterable[str], base: Base, sources: Iterable[DeltaSource]) -> None:
    for name in sorted(touched):
        if base.dtype(name) not in FLOATS:
            by = next(source.name for source in sources if name in source.parameters())
            raise CompatibilityError(
                f"{name} is {base.dtype(name)} in the base; expected {' or '.join(FLOATS)}",
                where=by,
                help="convert the base to bfloat16, float16 or float32 first",
            )
    if not touched and any(source.parameters() for source in sources):
        raise UsageError(
            "rules keep the base's values of every parameter that a source trained",
            help="leave one of these rules out",
        )
    if not touched:
        raise CompatibilityError(
            "no source trained any parameter of this base", where=str(base.directory)
        )


def _check_methods(recipe: BuiltRecipe, opened: Sources) -> None:
    """What the methods themselves refuse: of weights, each where it is used at all; of ranks."""
    weights = tuple(source.weight for source in recipe.ordered())
    used = {name: recipe.part(name).method for name in opened.parameters()}
    methods = dict.fromkeys([recipe.method, *used.values()])
    for method in methods:
        if method is not None:
            method.check_weights(weights)
    for name, method in used.items():
        if method is not None:
            method.check_ranks(name, opened.ranks(name))
            check_inputs(name, method, opened)


def _tensors(recipe: BuiltRecipe, opened: Sources, touched: set[str]) -> Iterable[PlannedTensor]:
    base, wanted = opened.base, DTYPES[recipe.settings.dtype]
    names = [n for n in base.names() if n in opened.untied_heads or n not in base.aliases]
    for name in names:
        dtype = base.dtype(name)
        yield PlannedTensor(
            name=name,
            shard=base.checkpoint.shard_of(base.stored(name)),
            shape=base.shape(name),
            base_dtype=dtype,
            dtype=wanted if wanted and dtype in FLOATS else dtype,
            sources=tuple(opened.sources[i].name for i in opened.touching(name))
            if name in touched
            else (),
            resized=base.is_resized(name),
        )


def _in_shards(
    tensors: tuple[PlannedTensor, ...], max_shard_size: int | None
) -> tuple[PlannedTensor, ...]:
    """The tensors in files of at most `max_shard_size` bytes, filled in order; None keeps them."""
    if max_shard_size is None:
        return tensors
    numbers, filled = [], 0
    for tensor in tensors:
        starts = not numbers or filled + tensor.nbytes > max_shard_size
        numbers.append((numbers[-1] if numbers else 0) + starts)
        filled = tensor.nbytes if starts else filled + tensor.nbytes
    if numbers[-1] == 1:
        return tuple(replace(tensor, shard="model.safetensors") for tensor in tensors)
    return tuple(
        replace(tensor, shard=f"model-{number:05}-of-{numbers[-1]:05}.safetensors")
        for tensor, number in zip(tensors, numbers, strict=True)
    )


def _headers_digest(base: Base) -> Digest:
    headers = [
        [name, info.dtype, list(info.shape)]
        for header in base.checkpoint.headers.values()
        for name, info in header.tensors.items()
    ]
    return digest_json([headers, str(base.directory)])


def _memory(opened: Sources, merged: list[PlannedTensor]) -> int:
    """Factors of the largest parameters in flight and a dozen tiles per worker, in bytes."""

    workers = worker_count()
    tile = max([TILE_ELEMENTS, *(tensor.shape[-1] for tensor in merged if tensor.shape)])
    factors = sum(source.nbytes() for source in opened.sources if source.kind != "full")
    return workers * (4 * tile * (8 + 3 * len(opened.sources))) + min(4 * factors, 1 << 28)


def _held(recipe: BuiltRecipe, written: int) -> int:
    """All factors of an adapter are held in float32, and beside them as they are written."""
    item = ITEM_BYTES[DTYPES[recipe.settings.dtype] or "F32"]
    return written if item == 4 else written * 4 // item + written


def _rule_counts(recipe: BuiltRecipe, opened: Sources) -> tuple[int, ...]:
    decided = [recipe.rule(name) for name in opened.parameters()]
    return tuple(sum(one is rule for one in decided) for rule in recipe.rules)


def _notes(recipe: BuiltRecipe, opened: Sources) -> Iterable[str]:
    yield from resized_notes(opened.base)
    for alias in opened.untied_heads:
        yield (
            f"{alias} is tied to {opened.base.stored(alias)} and a source trained one of them"
            " alone: the merge stores both"
        )
    yield from beside_notes(recipe, opened)
