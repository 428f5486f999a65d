"""Iso-C: the sum of all deltas with a flat spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from additive.deltas.model import Delta
from additive.merge.core import Core, in_core
from additive.merge.method import DeltaStack, MergeMethod, Scope


@dataclass(frozen=True)
class IsoC(MergeMethod):
    """τ = σ̄·U·Vᵀ, from U·Σ·Vᵀ = Σ wᵢ·τᵢ and σ̄ the mean of Σ (Marczak et al., 2025,
    arXiv:2502.04959).

    Strong shared directions no longer drown the weak ones of single sources. Assumes that every
    direction of the sum matters; noise directions are lifted as well.

    In core space only the directions that some adapter has are flattened, and σ̄ is their mean:
    the dense form puts most of the energy into directions that no LoRA ever trained (87 % in
    research). So for LoRA this is a method of its own; over full fine-tunes it is the paper's.

    Scope: parameter. Cost: one R×R SVD for LoRA, one dense SVD otherwise. The usual scale is above
    1.
    """

    scope: ClassVar[Scope] = "parameter"
    paper: ClassVar[str] = "arXiv:2502.04959"
    keeps_factors: ClassVar[bool] = True

    def merge(self, stack: DeltaStack) -> Delta:
        """The flattened sum."""
        return in_core(stack, self.merge_core)

    def merge_core(self, core: Core) -> Tensor:
        """The flattened sum in core space."""
        total = core.sum()
        U, sigma, V = core.svd(total)
        return sigma.mean() * U @ V.T if sigma.numel() else total
