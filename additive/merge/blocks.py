"""Writing one tensor of the output: bytes copied, cast, or merged; hashed on the way."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from additive.deltas.base import Base
from additive.deltas.model import Delta, Dense
from additive.deltas.tiles import matrix_shape
from additive.merge.compose import merged_part
from additive.merge.parameter import landed
from additive.merge.plan import PlannedTensor
from additive.merge.recipe import Recipe
from additive.merge.report import Written
from additive.merge.stack import DeltaStack
from additive.tensors.dtypes import ITEM_BYTES, torch_dtype
from additive.tensors.writer import LayoutWriter, bytes_of
from additive.types.digests import TensorLeaf

_COPY_BLOCK = 1 << 23


def write_tensor(
    recipe: Recipe,
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
        return write_landed(Dense(torch.zeros(()).expand(values.shape)), values, tensor, writer)
    delta = merged_part(recipe.part(tensor.name), stack)
    return write_landed(delta, stack.base, tensor, writer)


def write_landed(
    delta: Delta, values: Tensor, tensor: PlannedTensor, writer: LayoutWriter
) -> Written:
    """Write base values plus a delta, tile by tile.

    Raises: IntegrityError when a result does not fit the output's dtype, ResourceError.
    """
    digest = hashlib.sha256()
    delta_square = lost_square = 0.0
    width = matrix_shape(tensor.shape)[1] * ITEM_BYTES[tensor.dtype]
    for landing in landed(delta, values, torch_dtype(tensor.dtype), tensor.name):
        data = bytes_of(landing.values)
        digest.update(data)
        writer.write_at(tensor.name, landing.start * width, data)
        delta_square += landing.delta_square
        lost_square += landing.lost_square
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
