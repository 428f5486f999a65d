"""Pico: output directions that many adapters share are damped before the sum; a method, and a step
before others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from additive.deltas.model import Delta
from additive.merge.core import Core, in_core
from additive.merge.method import DeltaStack, MergeMethod, Scope, Step


@dataclass(frozen=True)
class Pico(MergeMethod, Step):
    """Pre-calibration, then task arithmetic, then the sources' mean norm (arXiv:2604.16826).

    Of the sources' left spaces side by side, [τ₁ … τₙ] = U·Σ·…, direction j has the share
    eⱼ = σⱼ²/Σσ². It is damped by αⱼ = 1/(1 + (n−1)·eⱼ) in every source; the sum of the damped
    deltas is rescaled to the mean of ‖wᵢτᵢ‖. Assumes that what all adapters push is shared style
    rather than skill. As a step it damps the sources of any method and rescales that
    method's result.

    Deviation: the paper takes the singular vectors of [B₁ … Bₙ], which depend on how a delta is
    split into B and A (any G gives BG and G⁻¹A); here it is the left space of the deltas
    themselves. The norm that the sum is brought to does not grow with n, so a scale above 1 may be
    needed for many sources.

    Scope: parameter. Cost: R×R algebra for LoRA, dense SVDs otherwise.
    """

    scope: ClassVar[Scope] = "parameter"
    paper: ClassVar[str] = "arXiv:2604.16826"
    keeps_factors: ClassVar[bool] = True

    def merge(self, stack: DeltaStack) -> Delta:
        """The damped, rescaled weighted sum."""
        return in_core(stack, self.merge_core)

    def merge_core(self, core: Core) -> Tensor:
        """The damped, rescaled weighted sum in core space."""
        damped = self.before_core(core)
        return self.after_core(damped.sum(), damped)

    def before_core(self, core: Core) -> Core:
        """Every source with the shared left directions damped."""
        squares, U = _left_space(core.matrices)
        energy = squares.sum()
        if energy == 0:
            return core
        alpha = 1.0 / (1.0 + (len(core.weights) - 1) * squares / energy)
        damped = tuple(m + (U * (alpha - 1.0)) @ (U.T @ m) for m in core.matrices)
        return replace(core, matrices=damped)

    def after_core(self, merged: Tensor, core: Core) -> Tensor:
        """The result at the mean norm of the weighted sources as they came."""
        size = torch.linalg.norm(merged)
        weighted = [abs(w) * size for w, size in zip(core.weights, core.sizes, strict=True)]
        return merged * (sum(weighted) / len(weighted) / size) if size > 0 else merged


def _left_space(matrices: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """σ² and U of matrices side by side: from Σ MMᵀ, whose rounding is far below what a direction
    has to have for α to leave 1; by an SVD where that would be larger than the matrices.
    """
    side_by_side = torch.cat(list(matrices), dim=1)
    if side_by_side.shape[0] > side_by_side.shape[1]:
        U, sigma, _ = torch.linalg.svd(side_by_side, full_matrices=False)
        return sigma.square(), U
    squares, U = torch.linalg.eigh(side_by_side @ side_by_side.T)
    return squares.clamp(min=0.0), U
