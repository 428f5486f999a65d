"""PEFT's factor-wise sum: what it computes, so that its error can be measured. Not for use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.deltas.model import Delta, LowRank
from additive.errors import CompatibilityError
from additive.merge.method import DeltaStack, MergeMethod, Scope


@dataclass(frozen=True)
class PeftLinear(MergeMethod):
    """Wrong, and here to be measured: τ = (Σ √cᵢ·Bᵢ)·(Σ √cⱼ·Aⱼ), cᵢ = wᵢ·sᵢ, as PEFT's
    `add_weighted_adapter(combination_type="linear")` sums factors.

    A sum of deltas is Σ cᵢ·Bᵢ·Aᵢ. This product has n²−n terms more, which nobody trained:

        error = Σ_{i≠j} √(cᵢ·cⱼ)·Bᵢ·Aⱼ

    It maps source j's inputs to source i's outputs. Bᵢ and Aᵢ are defined up to any invertible G
    (Bᵢ·G and G⁻¹·Aᵢ are the same delta), so the error depends on how training happened to split
    each delta; only a single source, or factors orthogonal across sources, have none. Use
    `task_arithmetic`, which costs the same and is exact.

    As in PEFT a negative cᵢ enters as |cᵢ|, with the sign on A. Deviations: for weights that lie
    transposed (Conv1D, embeddings) that sign is on B; with rank stabilisation PEFT 0.21 multiplies
    the result once more by √r, a mistake of its own that is left out here.

    Scope: parameter. Every source must be LoRA without DoRA, of one rank. Cost: one sum of factors;
    the result has the rank of a source.
    """

    scope: ClassVar[Scope] = "parameter"
    paper: ClassVar[str] = "huggingface.co/docs/peft (add_weighted_adapter)"
    keeps_factors: ClassVar[bool] = True
    needs_factors: ClassVar[bool] = True

    def check_ranks(self, name: str, ranks: Sequence[int | None]) -> None:
        """Refuse a parameter whose sources are no factors of one rank.

        Raises: CompatibilityError.
        """
        if None in ranks or len(set(ranks)) > 1:
            found = ", ".join("none" if rank is None else str(rank) for rank in ranks)
            raise CompatibilityError(
                f"{name} has factors of rank {found}"
                " when peft_linear needs LoRA factors of one rank",
                help="use task_arithmetic, which is exact for any ranks and kinds",
            )

    def merge(self, stack: DeltaStack) -> Delta:
        """The product of the summed factors."""
        low = [delta for delta in stack.deltas if isinstance(delta, LowRank)]
        whole = len(low) == len(stack.deltas)
        self.check_ranks(stack.name, [delta.rank for delta in low] if whole else [None])
        shares = [w * delta.scale for w, delta in zip(stack.weights, low, strict=True)]
        roots = [math.sqrt(abs(share)) for share in shares]
        signed = [math.copysign(root, share) for root, share in zip(roots, shares, strict=True)]
        return LowRank(
            _sum(roots, [delta.B for delta in low]), _sum(signed, [delta.A for delta in low])
        )


def _sum(shares: Sequence[float], factors: Sequence[Tensor]) -> Tensor:
    total = torch.zeros_like(factors[0])
    for share, factor in zip(shares, factors, strict=True):
        total.add_(factor, alpha=share)
    return total
