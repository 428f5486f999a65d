"""TSV-M: task singular vectors, made orthogonal to each other before they are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.deltas.model import Delta
from additive.merge.core import Core, in_core
from additive.merge.method import DeltaStack, MergeMethod, Scope, check_at_least

_PLAIN = 1e-4


@dataclass(frozen=True)
class TsvM(MergeMethod):
    """τ = Û⊥·Σ̂·V̂⊥ᵀ: all sources' singular vectors, whitened together (Gargiulo et al., 2025,
    arXiv:2412.00081).

    Each delta is cut into singular triples; left vectors of all sources stand side by side in Û,
    right ones in V̂, and both are replaced by their nearest orthonormal sets, so that no source
    acts through another's directions. Assumes that interference is overlap of singular directions;
    where two sources need the same direction each keeps only part of it.

    ridge: ε of the whitening f(s) = s·√((1+ε)/(s²+ε)) of the singular values s of Û and V̂, ≥ 0.
    The
        paper's polar factor is ε = 0, which is ill-posed where sources share a direction exactly
        (s = 0): any vector would do. With ε > 0 such directions vanish, orthogonal sources are
        still summed exactly, and ordinary overlaps are whitened to within ε.

    Low-rank sources keep their whole rank; full fine-tunes keep 1/n of theirs, as in the paper.
    Scope: parameter. Cost: R×R algebra in float64 for LoRA (exact), dense SVDs otherwise.
    Deviations: the ridge; weights, which multiply the singular values; what is no matrix is summed,
    where the authors take its mean.
    """

    scope: ClassVar[Scope] = "parameter"
    paper: ClassVar[str] = "arXiv:2412.00081"
    keeps_factors: ClassVar[bool] = True
    sums_orthogonal: ClassVar[bool] = True
    dense_differs: ClassVar[bool] = True
    ridge: float = 1e-3

    def __post_init__(self) -> None:
        """Check the ridge.

        Raises: UsageError.
        """
        check_at_least("tsv_m", "ridge", self.ridge, 0.0)

    def merge(self, stack: DeltaStack) -> Delta:
        """The whitened sum of all singular triples."""
        return in_core(stack, self.merge_core, sums=self.sums_orthogonal)

    def merge_core(self, core: Core) -> Tensor:
        """The whitened sum in core space."""
        share = 1 if core.low_rank else max(core.count, 1)
        triples = [
            core.svd(matrix, max(1, rank // share))
            for matrix, rank in zip(core.matrices, core.ranks, strict=True)
        ]
        values = [w * sigma for w, (_, sigma, _) in zip(core.weights, triples, strict=True)]
        left = whiten(torch.cat([U for U, _, _ in triples], dim=1), self.ridge)
        right = whiten(torch.cat([V for _, _, V in triples], dim=1), self.ridge)
        return (left * torch.cat(values)) @ right.T


def whiten(vectors: Tensor, ridge: float) -> Tensor:
    """Columns replaced by their nearest orthonormal set, with singular values s →
    s·√((1+ε)/(s²+ε)): V·g(VᵀV) with g(λ) = √((1+ε)/(λ+ε)), which ε keeps away from its pole. By an
    SVD where ε is too small for that.
    """
    if ridge >= _PLAIN and vectors.shape[1] <= vectors.shape[0]:
        squares, Q = torch.linalg.eigh(vectors.T @ vectors)
        grown = squares.clamp(min=0.0) + ridge
        return vectors @ ((Q * ((1.0 + ridge) / grown).sqrt()) @ Q.T)
    P, s, Qh = torch.linalg.svd(vectors, full_matrices=False)
    grown = s.square() + ridge
    factor = torch.where(grown > 0, s * ((1.0 + ridge) / grown.clamp(min=1e-300)).sqrt(), 0.0)
    return (P * factor) @ Qh
