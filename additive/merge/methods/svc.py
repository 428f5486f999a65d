"""SVC: singular values of the merged delta brought down where several sources piled up; a method,
and a step after others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.deltas.model import Delta
from additive.merge.core import Core, in_core
from additive.merge.method import DeltaStack, MergeMethod, Scope, Step, check_at_least


@dataclass(frozen=True)
class Svc(MergeMethod, Step):
    """Task arithmetic whose over-accumulated directions are calibrated (arXiv:2602.05536).

    With the sum U·Σ·Vᵀ (as a step: the merged delta of any method), sᵢʳ = ⟨uᵣᵀτ, uᵣᵀτᵢ⟩/‖uᵣᵀτᵢ‖²
    says how much more of direction r the sum has than source i gave (τᵢ with its weight). σᵣ is
    multiplied by γᵣ = n / Σᵢ max(α, sᵢʳ). Orthogonal sources are left alone; n copies of one source
    become one copy.

    floor: α. 1 only ever shrinks; smaller values also stretch directions in which sources cancel.
    The paper's experiments take 1/n and find 1 the safer of the two.

    A source without any part in direction r counts with s = 0. Deviations: weights, which multiply
    the deltas before anything is compared; vectors are left alone as a step, where the paper has a
    factor n/Σsᵢ for them. Scope: parameter. Cost: one R×R SVD
    for LoRA (exact), one dense SVD otherwise.
    """

    scope: ClassVar[Scope] = "parameter"
    paper: ClassVar[str] = "arXiv:2602.05536"
    keeps_factors: ClassVar[bool] = True
    floor: float = 1.0

    def __post_init__(self) -> None:
        """Check the floor.

        Raises: UsageError.
        """
        check_at_least("svc", "floor", self.floor, 1e-3)

    def merge(self, stack: DeltaStack) -> Delta:
        """The calibrated weighted sum."""
        return in_core(stack, self.merge_core)

    def merge_core(self, core: Core) -> Tensor:
        """The calibrated weighted sum in core space."""
        return self.after_core(core.sum(), core)

    def after_core(self, merged: Tensor, core: Core) -> Tensor:
        """Any method's result, calibrated against its sources."""
        U, sigma, V = core.svd(merged)
        if not sigma.numel():
            return merged
        summed = torch.zeros_like(sigma)
        for weight, matrix in zip(core.weights, core.matrices, strict=True):
            summed += accumulation(U, merged, weight * matrix).clamp(min=self.floor)
        return (U * (sigma * len(core.weights) / summed)) @ V.T


def accumulation(U: Tensor, total: Tensor, part: Tensor) -> Tensor:
    """sʳ of one source for every left direction uᵣ; 0 where the source has no part in it."""
    of_total, of_part = U.T @ total, U.T @ part
    size = of_part.square().sum(dim=1)
    present = size > 1e-20 * part.square().sum().clamp(min=1e-300)
    return torch.where(present, (of_total * of_part).sum(dim=1) / size.clamp(min=1e-300), 0.0)
