"""One parameter by all that a recipe says of it: steps before, method, steps after, scale.

A method that has `merge_core` runs with its steps on one set of small matrices, in float64, and the
result is lifted and rounded once. Any other method sees the sources as the steps before left them,
and the steps after see its result as a whole matrix.

One parameter: from its stack to rows of the output.

The first pass of methods that need to see the whole model before they merge a parameter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from additive.deltas.model import (
    Delta,
    Dense,
    Exact,
    add_delta,
    combine,
    experts_of,
    matrix_shape,
    tiles,
)
from additive.errors import IntegrityError, UsageError
from additive.merge.core import Core, core_of, whole_of
from additive.merge.method import DeltaStack, MergeMethod, Step
from additive.merge.recipe import BuiltRecipe, ParameterRecipe
from additive.merge.sources import Sources
from additive.merge.threads import each
from additive.types.progress import Listener, Progress, silent


@dataclass(frozen=True, eq=False)
class RoundedRows:
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
    return method.scope == "element" or method.blockwise


def surveyed(method: MergeMethod, stack: DeltaStack) -> DeltaStack:
    """The stack with the method's own statistics of it, where the method takes any and has none
    yet.
    """
    if not method.has_survey or stack.survey is not None or method.scope == "model":
        return stack
    return replace(stack, survey=method.survey(stack))


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
            f"{type(method).__name__}.merge gave {found} for {stack.name}; expected a"
            f" delta of shape {list(stack.shape)}",
            help="test the method with additive.testing.check_merge_method",
        )
    return delta


def apply_delta(delta: Delta, base: Tensor, dtype: torch.dtype, name: str) -> Iterator[RoundedRows]:
    """Base plus delta, tile by tile: added in float32, rounded once; a zero delta keeps the base's
    bits.

    Raises: IntegrityError when a result is not finite in the output's dtype.
    """
    matrix = base.reshape(matrix_shape(tuple(base.shape)))
    for start, stop in tiles(tuple(base.shape)):
        yield _apply_rows(delta, matrix[start:stop], dtype, name, start, stop)


def _apply_rows(
    delta: Delta, base: Tensor, dtype: torch.dtype, name: str, start: int, stop: int
) -> RoundedRows:
    wide = base.to(torch.float32)
    total, added = add_delta(delta, wide, start, stop)
    size = torch.linalg.vector_norm(added).item()
    if size == 0.0 and not isinstance(delta, Exact) and not added.any():
        return RoundedRows(start, stop, base.to(dtype), 0.0, 0.0)
    values = total.to(dtype)
    # The sum is not needed any more: its memory takes what rounding left out.
    error = total.sub(wide) if dtype == torch.float32 else total.copy_(values).sub_(wide)
    lost = torch.linalg.vector_norm(error.sub_(added)).item()
    if not math.isfinite(size + lost):
        raise IntegrityError(
            f"{name} is not finite after the merge when every result should fit {dtype}",
            help="lower --scale or the weights, or merge with --dtype float32 or bfloat16",
        )
    return RoundedRows(start, stop, values, size * size, lost * lost)


def merged_part(part: ParameterRecipe, stack: DeltaStack) -> Delta:
    """The delta of a parameter by what the recipe says of it; nothing where the base is kept."""
    if part.method is None:
        return Dense(torch.zeros((), device=stack.base.device).expand(stack.shape))
    before = [step for step in part.before if step.overrides("before_core")]
    after, last = _after(part, stack)
    experts = stack.experts() if before or after else ()
    if not stack.is_matrix and not experts:
        last = math.prod(step.number for step in after if isinstance(step, _Times)) * last
        return merged_delta(part.method, stack, part.scale * last)
    scale = part.scale * last
    if experts:
        made = [_composed(part.method, expert, before, after, scale) for expert in experts]
        return experts_of(made)
    return _composed(part.method, stack, before, after, scale)


@dataclass(frozen=True)
class _Times(Step):
    """A factor that stands before another step, which sees what it made."""

    number: float

    def after_core(self, merged: Tensor, core: Core) -> Tensor:
        return merged * self.number


def _composed(
    method: MergeMethod,
    stack: DeltaStack,
    before: Sequence[Step],
    after: Sequence[Step],
    scale: float,
) -> Delta:
    if not (before or after):
        return merged_delta(method, stack, scale)
    if method.has_core_form:
        core = _stepped(core_of(stack), before)
        merged = core.lift(_finished(method.merge_core(core), core, after), stack.shape)
    else:
        merged = _around(method, stack, before, after)
    return merged if scale == 1.0 else combine([(scale, merged)])


def calibrated(part: ParameterRecipe, stack: DeltaStack) -> DeltaStack:
    """The stack with the steps before the method applied to its deltas."""
    before = [step for step in part.before if step.overrides("before_core")]
    experts = stack.experts() if before else ()
    if experts:
        made = [calibrated(part, expert).deltas for expert in experts]
        return replace(stack, deltas=tuple(map(experts_of, zip(*made, strict=True))))
    if not stack.is_matrix or not before:
        return stack
    core = _stepped(core_of(stack), before)
    return replace(stack, deltas=tuple(core.lift(m, stack.shape) for m in core.matrices))


def _after(part: ParameterRecipe, stack: DeltaStack) -> tuple[list[Step], float]:
    """What the steps before do in the end, the innermost first, then the steps after; and the
    product of the factors at the very end, which need no matrix.
    """
    found: list[Step] = []
    for step in (*reversed(part.before), *part.after):
        found += [_Times(step.factor(stack))] if step.overrides("factor") else []
        found += [step] if step.overrides("after_core") else []
    last = 1.0
    while found and isinstance(found[-1], _Times):
        last *= found[-1].number
        found.pop()
    return found, last


def _stepped(core: Core, before: Sequence[Step]) -> Core:
    for step in before:
        core = step.before_core(core)
    return core


def _finished(merged: Tensor, core: Core, after: Sequence[Step]) -> Tensor:
    for step in after:
        merged = step.after_core(merged, core)
    return merged


def _around(
    method: MergeMethod, stack: DeltaStack, before: Sequence[Step], after: Sequence[Step]
) -> Delta:
    """A method that knows no core space, between its steps; the whole matrix is in memory."""
    inner = calibrated(ParameterRecipe(method, 1.0, before=tuple(before)), stack)
    merged = merged_delta(method, inner, 1.0)
    if not after:
        return merged
    core = replace(whole_of(inner), sizes=core_of(stack).sizes)
    return core.lift(_finished(merged.dense().double(), core, after), stack.shape)


def survey_model(
    recipe: BuiltRecipe, opened: Sources, workers: int, progress: Listener = silent
) -> Any:
    """One survey per parameter in the base's order, then what the method concludes from them.

    None for methods of any other scope than `model`.
    """
    method = recipe.method
    if method.scope != "model":
        return None
    progress(Progress("merge", "first pass: surveying every parameter"))
    names = [name for name in opened.parameters() if not recipe.part(name).from_rule]

    def survey(name: str) -> Any:
        return method.survey(
            calibrated(recipe.part(name), opened.stack(name, recipe.settings.seed))
        )

    surveys = each(survey, names, workers)
    return method.conclude(dict(zip(names, surveys, strict=True)))


def stack_of(recipe: BuiltRecipe, opened: Sources, name: str, conclusion: Any) -> DeltaStack:
    """One parameter's stack with what the first pass concluded, where the recipe's own method
    merges it.
    """
    stack = opened.stack(name, recipe.settings.seed)
    if conclusion is None or recipe.part(name).from_rule:
        return stack
    return replace(stack, survey=conclusion)
