"""A mergekit file against a base and sources: what it makes, or where it says something that cannot
be made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.artifacts.manifest import BaseIdentity
from additive.deltas.base import FLOATS, Base
from additive.deltas.open import open_deltas
from additive.errors import SpecError
from additive.merge.mergekit.layout import KitTensor, kit_tensors
from additive.merge.mergekit.settings import Values, check_settings, method_of, resolve
from additive.merge.mergekit.tokens import chat_template, check_vocabulary
from additive.merge.planned import DTYPES, PlannedTensor
from additive.merge.recipe import SourceSpec
from additive.merge.sources import Sources, check_lineage, gather, open_plain_base
from additive.merge.threads import worker_count
from additive.spec.mergekit import MergekitSpec
from additive.spec.yaml import Located
from additive.tensors.disk import require_space
from additive.types.digests import Digest, digest_json

# Bump when the same file gives other bytes than before.
ENGINE = 1


_SHARD_BYTES = 5_000_000_000


@dataclass(frozen=True)
class KitRecipe:
    """A mergekit file with its models found.

    file    the file's values with their places, for faults
    models  every model that the file names → its source; None where it is the base itself
    seed    of methods that draw at random
    """

    spec: MergekitSpec
    file: Located
    models: Mapping[str, SourceSpec | None]
    name: str = ""
    seed: int = 0

    def sources(self) -> tuple[SourceSpec, ...]:
        """The sources, each once, in summing order."""
        found = {s.digest: s for s in self.models.values() if s is not None}
        return tuple(found[digest] for digest in sorted(found))

    def resolved(self) -> dict[str, Any]:
        """Everything that decides the bytes, as JSON values; models by digest, not by path."""
        digests = {text: s.digest if s else "base" for text, s in self.models.items()}
        return {
            "method": {"name": f"mergekit/{self.spec.merge_method}"},
            "scale": 1.0,
            "output": "checkpoint",
            "dtype": self.spec.output_dtype,
            "seed": self.seed,
            "mergekit": _renamed(self.spec.resolved(), digests),
        }


@dataclass(frozen=True)
class KitPlan:
    """A checked mergekit file: `tensors` and `planned` are the same tensors in the same order.

    template  the chat template to write, None for the base's own
    read, written, memory  bytes; memory is an upper estimate over the imports
    """

    recipe: KitRecipe
    base_directory: Path
    digest: Digest
    tensors: tuple[KitTensor, ...]
    values: tuple[Values, ...]
    planned: tuple[PlannedTensor, ...]
    untied_heads: tuple[str, ...]
    template: str | None
    read: int
    written: int
    memory: int


def plan_kit(
    recipe: KitRecipe,
    base_directory: Path,
    base_identity: BaseIdentity | None = None,
    disk: Path | None = None,
) -> KitPlan:
    """Check a mergekit file against base and sources; no tensor is read.

    Raises: SpecError at the place in the file; CompatibilityError, IntegrityError, SecurityError
    for the sources; ResourceError when the disk is too small.
    """
    base = open_plain_base(base_directory)
    for source in recipe.sources():
        check_lineage(source, base_directory, base_identity)
    opened = open_kit(recipe, base)
    try:
        return _plan(recipe, opened, disk)
    finally:
        opened.close()


def open_kit(recipe: KitRecipe, base: Base) -> Sources:
    """The base with all sources opened. Raises: as `open_deltas`."""
    sources = [open_deltas(s.directory, base, s.name, s.digest) for s in recipe.sources()]
    return gather(base, sources, [1.0] * len(sources))


def _plan(recipe: KitRecipe, opened: Sources, disk: Path | None) -> KitPlan:
    spec, file, base = recipe.spec, recipe.file, opened.base
    method = method_of(spec, file)
    check_settings(method, list(_blocks(spec)))
    check_vocabulary(spec, file, recipe.models, base)
    names = [n for n in base.names() if n in opened.untied_heads or n not in base.aliases]
    tensors = kit_tensors(spec, file, names, base)
    _check_inputs(method, spec, file, tensors)
    values = tuple(resolve(method, t.scopes, t.name, t.inputs, t.base, t.place) for t in tensors)
    planned = tuple(_planned(tensors, spec, base))
    written = sum(tensor.nbytes for tensor in planned)
    if disk is not None:
        require_space(disk, written, "the merge")
    sources = sum(source.nbytes() for source in opened.sources)
    return KitPlan(
        recipe=recipe,
        base_directory=base.directory,
        digest=digest_json({"engine": ENGINE, "recipe": recipe.resolved()}),
        tensors=tensors,
        values=values,
        planned=planned,
        untied_heads=opened.untied_heads,
        template=chat_template(spec, file),
        read=sum(base.checkpoint.info(n).nbytes for n in base.checkpoint.names()) + sources,
        written=written,
        memory=_memory(tensors, planned),
    )


def _blocks(spec: MergekitSpec) -> Iterator[Located]:
    yield spec.parameters
    for model in spec.models or ():
        yield model.parameters
    for piece in spec.slices or ():
        yield piece.parameters
        for source in piece.sources:
            yield source.parameters


def _check_inputs(
    method: Any, spec: MergekitSpec, file: Located, tensors: Sequence[KitTensor]
) -> None:
    """mergekit's own rules on the number of inputs and on the base."""
    for models, base in dict.fromkeys((tuple(t.inputs), t.base) for t in tensors):
        try:
            method.validate_inputs(models, base)
        except ValueError as error:
            said = str(error)[:1].lower() + str(error)[1:]
            raise SpecError(
                [file.fault(f"mergekit/{spec.merge_method}: {said}", "merge_method")],
                help="the base counts as an input where it is named",
            ) from None


def _planned(
    tensors: Sequence[KitTensor], spec: MergekitSpec, base: Base
) -> Iterator[PlannedTensor]:
    wanted = DTYPES[spec.output_dtype]
    origins = [next(iter(tensor.inputs.values())) for tensor in tensors]
    dtypes = [base.dtype(name) for name in origins]
    outputs = [wanted if wanted and dtype in FLOATS else dtype for dtype in dtypes]
    shards = _shards(tensors, outputs, base)
    for tensor, origin, dtype, output, shard in zip(
        tensors, origins, dtypes, outputs, shards, strict=True
    ):
        yield PlannedTensor(
            tensor.name, shard, base.shape(origin), dtype, output, tuple(tensor.inputs)
        )


def _shards(tensors: Sequence[KitTensor], dtypes: Sequence[str], base: Base) -> list[str]:
    """The base's own files where the names are the base's; else files of at most 5 GB."""
    if all(set(tensor.inputs.values()) == {tensor.name} for tensor in tensors):
        return [base.checkpoint.shard_of(base.stored(tensor.name)) for tensor in tensors]
    numbers, number, size = [], 0, 0
    for tensor, dtype in zip(tensors, dtypes, strict=True):
        shape = base.shape(next(iter(tensor.inputs.values())))
        nbytes = PlannedTensor(tensor.name, "", shape, dtype, dtype, ()).nbytes
        if size and size + nbytes > _SHARD_BYTES:
            number, size = number + 1, 0
        size += nbytes
        numbers.append(number)
    if number == 0:
        return ["model.safetensors"] * len(tensors)
    return [f"model-{n + 1:05d}-of-{number + 1:05d}.safetensors" for n in numbers]


def _memory(tensors: Sequence[KitTensor], planned: Sequence[PlannedTensor]) -> int:
    """Twice every input of the largest tensor in float32, on each thread."""

    largest = max(
        math.prod(p.shape) * (2 * len(t.inputs) + 2) for t, p in zip(tensors, planned, strict=True)
    )
    return 4 * largest * worker_count()


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The file's values with every model's text replaced by its digest."""
    if isinstance(value, dict):
        return {
            key: names.get(inner, inner)
            if key in ("model", "base_model", "tokenizer_source", "source")
            and isinstance(inner, str)
            else _renamed(inner, names)
            for key, inner in value.items()
        }
    return [_renamed(item, names) for item in value] if isinstance(value, list | tuple) else value
