"""DELLA: random dropping that depends on the rank of an element's magnitude in its row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.errors import UsageError
from additive.merge.method import (
    SMALLEST_SHARE,
    DeltaStack,
    MergeMethod,
    Scope,
    check_at_least,
    check_fraction,
)
from additive.merge.methods.ties import disjoint_mean


@dataclass(frozen=True)
class Della(MergeMethod):
    """MagPrune, then elect sign and disjoint mean (Deep et al., 2024, arXiv:2406.11617).

    In each row the element of magnitude rank r (0 smallest … n−1 largest) is kept with probability
    pᵣ = density − ε + 2ε·r/(n−1) and divided by pᵣ, so that its expectation stays. Assumes that
    large elements matter more, yet that a deterministic cut loses too much.

    density: mean probability of keeping, (0, 1]; epsilon: ε, half the spread of the probabilities,
    ≥ 0,
        with density ± ε inside (0, 1].

    Scope: element (whole rows); randomness as `dare_linear`. Deviation: none; mergekit divides
    every element by one factor of the whole tensor, which inflates large and shrinks small ones.
    Cost: one sort per row.
    """

    scope: ClassVar[Scope] = "element"
    paper: ClassVar[str] = "arXiv:2406.11617"
    density: float = 0.6
    epsilon: float = 0.15

    def __post_init__(self) -> None:
        """Check density and spread.

        Raises: UsageError.
        """
        check_fraction("della", "density", self.density)
        check_at_least("della", "epsilon", self.epsilon, 0.0)
        if self.density - self.epsilon < SMALLEST_SHARE or self.density + self.epsilon > 1 + 1e-9:
            raise UsageError(
                f"density ± epsilon of della is {self.density:g} ± {self.epsilon:g}; both ends"
                f" must be in [{SMALLEST_SHARE:.0e}, 1]"
            )

    def merge(self, stack: DeltaStack) -> Tensor:
        """The disjoint mean of the pruned deltas."""
        pruned = []
        for source, delta in zip(stack.sources, stack.dense(), strict=True):
            probability = keep_probability(delta, self.density, self.epsilon)
            pruned.append(stack.uniform(source).lt_(probability).mul_(delta).div_(probability))
        return disjoint_mean(pruned, stack.weights)


def keep_probability(delta: Tensor, density: float, epsilon: float) -> Tensor:
    """pᵣ for every element, by the rank of its magnitude in its row; equal magnitudes rank by
    position.
    """
    rows = delta.reshape(-1, delta.shape[-1]) if delta.dim() else delta.reshape(1, 1)
    last = rows.shape[1] - 1
    if last == 0:
        return torch.full_like(delta, density)
    order = _ascending(rows)
    steps = torch.arange(last + 1, dtype=torch.float32, device=rows.device)
    steps.mul_(2 * epsilon / last)
    by_rank = steps.add_(density - epsilon).expand(rows.shape)
    return torch.empty_like(rows).scatter_(1, order, by_rank).reshape(delta.shape)


def _ascending(rows: Tensor) -> Tensor:
    """Per row the columns by magnitude, equal ones by position.

    A float's bits are in the order of its size: with the column below them they are integers, all
    different, that need no stable sort, and numpy's of integers is the quickest there is on a
    processor.
    """
    bits = rows.abs().view(torch.int32).long()
    keys = bits.bitwise_left_shift_(32).bitwise_or_(torch.arange(rows.shape[1], device=rows.device))
    if keys.device.type == "cpu":
        keys.numpy().sort(axis=1)
    else:
        keys = keys.sort(dim=1).values
    return keys.bitwise_and_(0xFFFFFFFF)
