"""Consensus task arithmetic: elements that only one source needs are left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.errors import UsageError
from additive.merge.method import DeltaStack, MergeMethod, Scope, check_at_least


@dataclass(frozen=True)
class ConsensusTa(MergeMethod):
    """τ = (Σ wᵢ·τᵢ) ⊙ [at least k sources need the element] (Wang et al., 2024, arXiv:2405.07813).

    TALL masks say where a source can be recognised in the sum: mᵢ = |τᵢ| ≥ λ·|Σⱼτⱼ − τᵢ|. Elements
    in fewer than k masks are selfish or catastrophic and are dropped. Assumes many sources: with
    two, only what both need stays.

    threshold: λ of the masks, > 0; the paper tunes it in 0.2 to 0.6. agreement: k, ≥ 1; never more
    than
        the number of sources that trained the parameter.

    Scope: element. Cost: one pass. Masks are made of the weighted deltas.
    """

    scope: ClassVar[Scope] = "element"
    paper: ClassVar[str] = "arXiv:2405.07813"
    threshold: float = 0.4
    agreement: int = 2

    def __post_init__(self) -> None:
        """Check threshold and agreement.

        Raises: UsageError.
        """
        check_at_least("consensus_ta", "agreement", self.agreement, 1)
        if not self.threshold > 0:
            raise UsageError(f"threshold of consensus_ta is {self.threshold:g}; expected positive")

    def merge(self, stack: DeltaStack) -> Tensor:
        """The weighted sum where enough sources need it."""
        deltas = [w * delta for w, delta in zip(stack.weights, stack.dense(), strict=True)]
        total = torch.zeros(stack.shape, device=stack.base.device)
        for delta in deltas:
            total.add_(delta)
        votes = torch.zeros_like(total)
        for delta in deltas:
            needed = delta.abs().ge_((total - delta).abs_().mul_(self.threshold))
            votes.add_(needed.mul_(delta.sign().abs_()))
        return votes.ge_(min(self.agreement, len(deltas))).mul_(total)
