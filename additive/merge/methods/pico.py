"""Pico: output directions that many adapters share are damped before the sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.deltas.model import Delta
from additive.merge.core import Core, in_core
from additive.merge.methods.iso import weighted_sum
from additive.merge.stack import DeltaStack, Scope


@dataclass(frozen=True)
class Pico:
    """Pre-calibration, then task arithmetic, then the sources' mean norm (arXiv:2604.16826).

    Of the sources' left spaces side by side, [τ₁ … τₙ] = U·Σ·…, direction j has the share
    eⱼ = σⱼ²/Σσ². It is damped by αⱼ = 1/(1 + (n−1)·eⱼ) in every source; the sum of the damped
    deltas is rescaled to the mean of ‖wᵢτᵢ‖. Assumes that what all adapters push is shared style
    rather than skill.

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
        return in_core(stack, lambda core: _damped(core, stack.weights))


def _damped(core: Core, weights: tuple[float, ...]) -> Tensor:
    U, sigma, _ = torch.linalg.svd(torch.cat(core.matrices, dim=1), full_matrices=False)
    energy = sigma.square().sum()
    if energy == 0:
        return torch.zeros_like(core.matrices[0])
    share = sigma.square() / energy
    alpha = 1.0 / (1.0 + (len(weights) - 1) * share)
    total = weighted_sum(core, weights)
    calibrated = total + (U * (alpha - 1.0)) @ (U.T @ total)
    sizes = [abs(w) * torch.linalg.norm(m) for w, m in zip(weights, core.matrices, strict=True)]
    size = torch.linalg.norm(calibrated)
    return calibrated * (torch.stack(sizes).mean() / size) if size > 0 else calibrated
