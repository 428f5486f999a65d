"""One parameter by all that a recipe says of it: steps before, method, steps after, scale.

A method that has `merge_core` runs with its steps on one set of small matrices, in float64, and the
result is lifted and rounded once. Any other method sees the sources as the steps before left them,
and the steps after see its result as a whole matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from additive.deltas.model import Delta, Dense, combine, experts_of
from additive.merge.core import Core, core_of, whole_of
from additive.merge.parameter import merged_delta
from additive.merge.recipe import Part
from additive.merge.stack import DeltaStack, MergeMethod


def merged_part(part: Part, stack: DeltaStack) -> Delta:
    """The delta of a parameter by what the recipe says of it; nothing where the base is kept."""
    if part.method is None:
        return Dense(torch.zeros((), device=stack.base.device).expand(stack.shape))
    before = [step for step in part.before if hasattr(step, "before_core")]
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
class _Times:
    """A factor that stands before another step, which sees what it made."""

    number: float

    def after_core(self, merged: Tensor, core: Core) -> Tensor:
        return merged * self.number


def _composed(
    method: MergeMethod,
    stack: DeltaStack,
    before: Sequence[Any],
    after: Sequence[Any],
    scale: float,
) -> Delta:
    if not (before or after):
        return merged_delta(method, stack, scale)
    merge_core = getattr(method, "merge_core", None)
    if merge_core is not None:
        core = _stepped(core_of(stack), before)
        merged = core.lift(_finished(merge_core(core), core, after), stack.shape)
    else:
        merged = _around(method, stack, before, after)
    return merged if scale == 1.0 else combine([(scale, merged)])


def calibrated(part: Part, stack: DeltaStack) -> DeltaStack:
    """The stack with the steps before the method applied to its deltas."""
    before = [step for step in part.before if hasattr(step, "before_core")]
    experts = stack.experts() if before else ()
    if experts:
        made = [calibrated(part, expert).deltas for expert in experts]
        return replace(stack, deltas=tuple(map(experts_of, zip(*made, strict=True))))
    if not stack.is_matrix or not before:
        return stack
    core = _stepped(core_of(stack), before)
    return replace(stack, deltas=tuple(core.lift(m, stack.shape) for m in core.matrices))


def _after(part: Part, stack: DeltaStack) -> tuple[list[Any], float]:
    """What the steps before do in the end, the innermost first, then the steps after; and the
    product of the factors at the very end, which need no matrix.
    """
    found: list[Any] = []
    for step in (*reversed(part.before), *part.after):
        found += [_Times(step.factor(stack))] if hasattr(step, "factor") else []
        found += [step] if hasattr(step, "after_core") else []
    last = 1.0
    while found and isinstance(found[-1], _Times):
        last *= found.pop().number
    return found, last


def _stepped(core: Core, before: Sequence[Any]) -> Core:
    for step in before:
        core = step.before_core(core)
    return core


def _finished(merged: Tensor, core: Core, after: Sequence[Any]) -> Tensor:
    for step in after:
        merged = step.after_core(merged, core)
    return merged


def _around(method: Any, stack: DeltaStack, before: Sequence[Any], after: Sequence[Any]) -> Delta:
    """A method that knows no core space, between its steps; the whole matrix is in memory."""
    inner = calibrated(Part(method, 1.0, before=tuple(before)), stack)
    merged = merged_delta(method, inner, 1.0)
    if not after:
        return merged
    core = replace(whole_of(inner), sizes=core_of(stack).sizes)
    return core.lift(_finished(merged.dense().double(), core, after), stack.shape)
