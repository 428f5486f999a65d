"""SWUDI: the delta that answers every source's own inputs best, found in the spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.deltas.model import Delta
from additive.merge.core import Core, in_core
from additive.merge.method import DeltaStack, MergeMethod, Scope, check_at_least, check_fraction


@dataclass(frozen=True)
class Swudi(MergeMethod):
    """argmin over τ of Σ ‖(τ − wᵢτᵢ)·τᵢᵀ‖² / ‖τᵢ‖², by a filtered closed form (arXiv:2606.07289;
    the objective is WUDI's, Cheng et al., 2025, arXiv:2503.08099).

    A source's rows span the inputs that it was trained to see, so on these the merge should answer
    as the source does. With Cᵢ = τᵢᵀτᵢ/‖τᵢ‖², G = Σ Cᵢ = Q·Λ·Qᵀ and H = Σ wᵢτᵢCᵢ the minimum is
    H·G⁺, which blows up along small λ. Gradient descent of length t from the plain sum S = Σ wᵢτᵢ
    is a filter on the spectrum, and for the leading directions it is taken in closed form:

        τ = S + (H − S·G)·Q·diag(f)·Qᵀ,   fⱼ = (1 − exp(−t·λⱼ/λ₁))/λⱼ

    Sources whose inputs are orthogonal are summed exactly; two copies of one source give one copy.
    Assumes that shared input directions are interference; skills that need the same inputs in
    different ways are averaged there.

    steps: t, > 0, dimensionless; larger is closer to the unfiltered minimum. keep: the fraction of
    G's directions that are corrected, from the largest λ down, (0, 1]; the others keep the sum.

    Scope: parameter. Cost: one R×R eigendecomposition for LoRA (exact), one of columns×columns
    otherwise. Deviations: t counts in units of 1/λ₁ (the authors' t is `steps`/λ₁, λ₁ ≤ n); `keep`
    is a share of the directions that are there, where the authors count all columns, so that theirs
    drops none of a LoRA's, and their -A chooses the number per layer; what is no matrix is summed,
    where they take its mean.
    """

    scope: ClassVar[Scope] = "parameter"
    paper: ClassVar[str] = "arXiv:2606.07289"
    keeps_factors: ClassVar[bool] = True
    sums_orthogonal: ClassVar[bool] = True
    steps: float = 300.0
    keep: float = 0.85

    def __post_init__(self) -> None:
        """Check both parameters.

        Raises: UsageError.
        """
        check_at_least("swudi", "steps", self.steps, 1e-6)
        check_fraction("swudi", "keep", self.keep)

    def merge(self, stack: DeltaStack) -> Delta:
        """The filtered minimum."""
        return in_core(stack, self.merge_core, sums=self.sums_orthogonal)

    def merge_core(self, core: Core) -> Tensor:
        """The filtered minimum in core space."""
        total = core.sum()
        G = total.new_zeros(total.shape[1], total.shape[1])
        residue = torch.zeros_like(total)
        for weight, matrix, size in zip(core.weights, core.matrices, _squares(core), strict=True):
            if size > 0:
                C = matrix.T @ matrix / size
                G += C
                residue += (weight * matrix - total) @ C
        values, Q = torch.linalg.eigh(G)
        present = values > core.noise * values[-1].clamp(min=1e-300)
        kept = _leading(present, self.keep)
        if not kept.any():
            return total
        values, Q = values[kept], Q[:, kept]
        filtered = -torch.expm1(-self.steps * values / values[-1]) / values
        return total + (residue @ Q * filtered) @ Q.T


def _squares(core: Core) -> list[float]:
    return [matrix.square().sum().item() for matrix in core.matrices]


def _leading(present: Tensor, share: float) -> Tensor:
    """The largest `share` of the directions that are there (at least one); values are ascending."""
    count = int(present.sum())
    first = len(present) - max(1, round(share * count)) if count else len(present)
    return present.logical_and(torch.arange(len(present), device=present.device) >= first)
