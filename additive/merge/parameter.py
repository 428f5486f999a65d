"""One parameter: from its stack to rows of the output."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from additive.deltas.model import Delta, Dense, Exact, combine, land
from additive.deltas.tiles import matrix_shape, tiles
from additive.errors import IntegrityError, UsageError
from additive.merge.stack import DeltaStack, MergeMethod


@dataclass(frozen=True, eq=False)
class Landed:
    """Rows [start, stop) of the matrix view as the output holds them.

    squares  ‖Δ‖² and ‖round(W+Δ)−W−Δ‖² of these rows, float64 sums
    """

    start: int
    stop: int
    values: Tensor
    delta_square: float
    lost_square: float


def is_blockwise(method: MergeMethod) -> bool:
    """Whether `merge` may be called on blocks: scope `element`, or a method of scope `model` that
    says so.
    """
    return method.scope == "element" or getattr(method, "blockwise", False)


def surveyed(method: MergeMethod, stack: DeltaStack) -> DeltaStack:
    """The stack with the method's own statistics of it, where the method takes any and has none
    yet.
    """
    survey = getattr(method, "survey", None)
    if survey is None or stack.survey is not None or method.scope == "model":
        return stack
    return replace(stack, survey=survey(stack))


def merged_delta(method: MergeMethod, stack: DeltaStack, scale: float) -> Delta:
    """λ times the method's delta of a whole parameter; lazy for element-wise methods."""
    if is_blockwise(method):
        merged: Delta = Elementwise(method, surveyed(method, stack))
    else:
        merged = as_delta(method.merge(surveyed(method, stack)), stack, method)
    return merged if scale == 1.0 else combine([(scale, merged)])


@dataclass(frozen=True, eq=False)
class Elementwise:
    """The delta of an element-wise method, computed block by block when asked for."""

    method: MergeMethod
    stack: DeltaStack

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return self.stack.shape

    def rows(self, start: int, stop: int) -> Dense:
        """Rows [start, stop) of the matrix view."""
        block = self.stack.rows(start, stop)
        return Dense(as_delta(self.method.merge(block), block, self.method).dense())

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The whole delta."""
        blocks = [self.rows(start, stop).tensor for start, stop in tiles(self.shape)]
        return torch.cat(blocks).reshape(self.shape).to(dtype)


def as_delta(result: Any, stack: DeltaStack, method: MergeMethod) -> Delta:
    """What a method returned, as a delta of the stack's shape.

    Raises: UsageError when a method returned something else.
    """
    delta = Dense(result) if isinstance(result, Tensor) else result
    if not isinstance(delta, Delta) or tuple(delta.shape) != stack.shape:
        found = list(delta.shape) if isinstance(delta, Delta) else type(result).__name__
        raise UsageError(
            f"{type(method).__name__}.merge gave {found} for {stack.name} when it should be a"
            f" delta of shape {list(stack.shape)}",
            help="test the method with additive.testing.check_merge_method",
        )
    return delta


def landed(delta: Delta, base: Tensor, dtype: torch.dtype, name: str) -> Iterator[Landed]:
    """Base plus delta, tile by tile: added in float32, rounded once; a zero delta keeps the base's
    bits.

    Raises: IntegrityError when a result is not finite in the output's dtype.
    """
    matrix = base.reshape(matrix_shape(tuple(base.shape)))
    for start, stop in tiles(tuple(base.shape)):
        yield _land(delta, matrix[start:stop], dtype, name, start, stop)


def _land(
    delta: Delta, base: Tensor, dtype: torch.dtype, name: str, start: int, stop: int
) -> Landed:
    wide = base.to(torch.float32)
    total, added = land(delta, wide, start, stop)
    size = torch.linalg.vector_norm(added).item()
    if size == 0.0 and not isinstance(delta, Exact) and not added.any():
        return Landed(start, stop, base.to(dtype), 0.0, 0.0)
    values = total.to(dtype)
    # The sum is not needed any more: its memory takes what rounding left out.
    error = total.sub(wide) if dtype == torch.float32 else total.copy_(values).sub_(wide)
    lost = torch.linalg.vector_norm(error.sub_(added)).item()
    if not math.isfinite(size + lost):
        raise IntegrityError(
            f"{name} is not finite after the merge when every result should fit {dtype}",
            help="lower --scale or the weights, or merge with --dtype float32 or bfloat16",
        )
    return Landed(start, stop, values, size * size, lost * lost)
