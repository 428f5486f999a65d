"""The streaming engine: the base read once in file order, every output tensor written at its place.

Untouched tensors are copied as bytes. Touched ones are computed in fixed tiles in float32, rounded
once, hashed and written while the next are read; one thread works on one parameter. Anonymous
memory is a few tiles and the factors in flight, whatever the size of the model.

What a merge wrote, and what the output's dtype rounded away.

Writing one tensor of the output: bytes copied, cast, or merged; hashed on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from additive.deltas.base import Base
from additive.deltas.model import Delta, Dense, matrix_shape
from additive.errors import IntegrityError
from additive.merge.adapter_out import write_adapter
from additive.merge.apply import apply_delta, merged_part, stack_of, survey_model
from additive.merge.method import DeltaStack
from additive.merge.planned import MergeReport, Plan, PlannedTensor, Written, summarise
from additive.merge.recipe import BuiltRecipe
from additive.merge.side_files import write_index, write_side_files
from additive.merge.sources import Sources, opened_sources
from additive.merge.threads import each, worker_count
from additive.tensors.header import ITEM_BYTES, torch_dtype
from additive.tensors.writer import SYNC_BYTES, LayoutWriter, bytes_of
from additive.types.digests import Digest, TensorLeaf
from additive.types.progress import Listener, Progress, silent

_COPY_BLOCK = 1 << 23


def write_tensor(
    recipe: BuiltRecipe,
    base: Base,
    tensor: PlannedTensor,
    stack: DeltaStack | None,
    writer: LayoutWriter,
    known: TensorLeaf | None,
) -> Written:
    """Write one tensor; `stack` is None for one that no source trained, `known` the base's leaf of
    it.

    Raises: IntegrityError when a merged value does not fit the output's dtype, ResourceError.
    """
    if tensor.action == "copy":
        return Written(_copy(base, tensor, writer, known))
    if stack is None:
        values = base.tensor(tensor.name)
        return write_rounded(Dense(torch.zeros(()).expand(values.shape)), values, tensor, writer)
    delta = merged_part(recipe.part(tensor.name), stack)
    return write_rounded(delta, stack.base, tensor, writer)


def write_rounded(
    delta: Delta, values: Tensor, tensor: PlannedTensor, writer: LayoutWriter
) -> Written:
    """Write base values plus a delta, tile by tile.

    Raises: IntegrityError when a result does not fit the output's dtype, ResourceError.
    """
    digest = hashlib.sha256()
    delta_square = lost_square = 0.0
    width = matrix_shape(tensor.shape)[1] * ITEM_BYTES[tensor.dtype]
    for rounded in apply_delta(delta, values, torch_dtype(tensor.dtype), tensor.name):
        data = bytes_of(rounded.values)
        digest.update(data)
        writer.write_at(tensor.name, rounded.start * width, data)
        delta_square += rounded.delta_square
        lost_square += rounded.lost_square
    leaf = TensorLeaf(tensor.name, tensor.dtype, tensor.shape, digest.hexdigest())
    return Written(leaf, delta_square, lost_square)


def _copy(
    base: Base, tensor: PlannedTensor, writer: LayoutWriter, known: TensorLeaf | None
) -> TensorLeaf:
    data = base.checkpoint.bytes(base.stored(tensor.name))
    digest = None if known else hashlib.sha256()
    for start in range(0, len(data), _COPY_BLOCK):
        block = data[start : start + _COPY_BLOCK]
        if digest:
            digest.update(block)
        writer.write_at(tensor.name, start, block)
    sha256 = digest.hexdigest() if digest else known.sha256 if known else ""
    return TensorLeaf(tensor.name, tensor.dtype, tensor.shape, sha256)


def execute(
    plan: Plan,
    out: Path,
    progress: Listener = silent,
    base_leaves: Sequence[TensorLeaf] = (),
    workers: int | None = None,
    sync_bytes: int = SYNC_BYTES,
    sources: Sources | None = None,
) -> MergeReport:
    """Carry out a plan: write a whole, loadable directory into `out`, which exists and is empty.

    base_leaves  known leaves of the base, so that copied tensors need not be hashed
    workers      parameters at once; the result does not depend on it
    sync_bytes   how much of a file may wait to be forced to disk while the workers compute
    sources      of the plan's recipe, if they are open already; they stay open

    Raises: IntegrityError for NaN or infinity in a source (before anything is written) or in a
    result, ResourceError when the disk is full. Whatever was written then is for the caller to
    discard.
    """
    workers = workers or worker_count()
    with opened_sources(plan.recipe, plan.base_directory, sources) as opened:
        check_finite(opened, {spec.digest: spec.finite for spec in plan.recipe.sources}, progress)
        if plan.recipe.settings.output == "adapter":
            return write_adapter(plan, opened, out, workers, sync_bytes)
        return _Run(plan, opened, out, progress, base_leaves, workers, sync_bytes).checkpoint()


def check_finite(
    opened: Sources, known: Mapping[Digest, bool], progress: Listener = silent
) -> None:
    """Refuse sources that hold NaN or infinity.

    Raises: IntegrityError naming tensor and source.
    """
    for source in opened.sources:
        if known.get(source.digest):
            continue
        progress(Progress("merge", f"checking the numbers of {source.name}"))
        bad = source.non_finite()
        if bad:
            raise IntegrityError(
                f"{bad[0]} holds NaN or infinity ({len(bad)} tensors do)",
                where=source.name,
                help=f"additive train {source.name} again, or merge an earlier snapshot of it",
            )


@dataclass(frozen=True, eq=False)
class _Run:
    plan: Plan
    opened: Sources
    out: Path
    progress: Listener
    base_leaves: Sequence[TensorLeaf]
    workers: int
    sync_bytes: int

    def checkpoint(self) -> MergeReport:
        conclusion = survey_model(self.plan.recipe, self.opened, self.workers, self.progress)
        written: list[Written] = []
        done = 0
        with ExitStack() as stack:
            writers = {shard: stack.enter_context(writer) for shard, writer in self._writers()}
            results = each(self._work(writers, conclusion), self.plan.tensors, self.workers)
            for tensor, result in zip(self.plan.tensors, results, strict=True):
                written.append(result)
                done += tensor.nbytes
                self._tell(tensor, done)
                writers[tensor.shard].flush(tensor.nbytes, self.sync_bytes)
        write_index(self.plan.tensors, self.out)
        write_side_files(self.plan, self.out)
        return summarise(written, self.plan.written)

    def _writers(self) -> list[tuple[str, LayoutWriter]]:
        headers = self.opened.base.checkpoint.headers
        metadata = {shard: header.metadata for shard, header in headers.items()}
        layouts: dict[str, list[tuple[str, str, tuple[int, ...]]]] = {}
        for tensor in self.plan.tensors:
            layouts.setdefault(tensor.shard, []).append((tensor.name, tensor.dtype, tensor.shape))
        return [
            (shard, LayoutWriter(self.out / shard, layout, metadata.get(shard, {"format": "pt"})))
            for shard, layout in layouts.items()
        ]

    def _work(
        self, writers: Mapping[str, LayoutWriter], conclusion: Any
    ) -> Callable[[PlannedTensor], Written]:
        leaves = {leaf.name: leaf for leaf in self.base_leaves}

        def work(tensor: PlannedTensor) -> Written:
            recipe, base = self.plan.recipe, self.opened.base
            stack = (
                stack_of(recipe, self.opened, tensor.name, conclusion) if tensor.sources else None
            )
            leaf = leaves.get(base.stored(tensor.name))
            return write_tensor(recipe, base, tensor, stack, writers[tensor.shard], leaf)

        return work

    def _tell(self, tensor: PlannedTensor, done: int) -> None:
        text = f"{tensor.action} {tensor.name}"
        self.progress(Progress("merge", text, done, self.plan.written, unit="byte"))
