"""DARE: drop elements at random and rescale the rest; then a sum, or TIES's election."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.merge.method import DeltaStack, MergeMethod, Scope, check_share
from additive.merge.methods.ties import disjoint_mean


@dataclass(frozen=True)
class DareLinear(MergeMethod):
    """τ = Σ wᵢ·mᵢ⊙τᵢ/p with masks mᵢ ~ Bernoulli(p) (Yu et al., 2024, arXiv:2311.03099).

    Assumes small, redundant deltas: each keeps its expectation, and sources collide less. Noise
    grows as (1−p)/p, so low densities hurt large deltas.

    density: p, the fraction kept, (0, 1]; at least 2⁻²⁴, which the random numbers can draw.

    Scope: element; the mask of an element depends on seed, parameter, source and position alone.
    Deviation: none. (mergekit rescales by the ratio of L1 norms instead of 1/p.) Cost: one pass.
    """

    scope: ClassVar[Scope] = "element"
    paper: ClassVar[str] = "arXiv:2311.03099"
    density: float = 0.5

    def __post_init__(self) -> None:
        """Check the density.

        Raises: UsageError.
        """
        check_share("dare_linear", "density", self.density)

    def merge(self, stack: DeltaStack) -> Tensor:
        """The weighted sum of the thinned deltas."""
        total = torch.zeros(stack.shape, device=stack.base.device)
        for delta, weight in zip(thinned(stack, self.density), stack.weights, strict=True):
            total.add_(delta, alpha=weight)
        return total


@dataclass(frozen=True)
class DareTies(MergeMethod):
    """DARE's masks in place of TIES's trim, then elect sign and disjoint mean (arXiv:2311.03099,
    2306.01708).

    density: fraction kept, (0, 1].

    Scope, cost and randomness as `dare_linear`. Deviation: the paper runs TIES with its own trim
    on the thinned deltas; here the mask replaces the trim, as in the libraries.
    """

    scope: ClassVar[Scope] = "element"
    paper: ClassVar[str] = "arXiv:2311.03099"
    density: float = 0.5

    def __post_init__(self) -> None:
        """Check the density.

        Raises: UsageError.
        """
        check_share("dare_ties", "density", self.density)

    def merge(self, stack: DeltaStack) -> Tensor:
        """The disjoint mean of the thinned deltas."""
        return disjoint_mean(thinned(stack, self.density), stack.weights)


def thinned(stack: DeltaStack, density: float) -> list[Tensor]:
    """Every delta with a random share `density` of its elements kept and divided by it."""
    return [
        stack.uniform(source).lt_(density).mul_(delta).div_(density)
        for source, delta in zip(stack.sources, stack.dense(), strict=True)
    ]
