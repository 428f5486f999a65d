"""The numbers of a diagnosis, from the singular triples of all sources of one parameter.

With τᵢ = Uᵢ·Σᵢ·Vᵢᵀ and everything side by side, U = [U₁ … Uₙ], the two Gram matrices UᵀU and VᵀV
hold every inner product there is: all pairs are measured by sums over their blocks, at R×R cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

import torch
from torch import Tensor

from additive.deltas.model import LowRank
from additive.merge.core import Triangles, triangles_of

_NEGLIGIBLE = 1e-10


_STRONGEST = 10


@dataclass(frozen=True)
class Pair:
    """Two sources, by position.

    cosine        of their deltas, [-1, 1]
    left, right   overlap of their output and input spaces, [0, 1]; None where a source is not low-
                  rank, and so for the other two
    conflicts     share of |δᵢδⱼ| with opposite signs, [0, 1]; 0.5 for unrelated deltas
    interference  singular-task interference of these two; 0 for orthogonal ones, 1 for equal ones
    unrelated     what random directions in this many dimensions would have of it
    """

    first: int
    second: int
    cosine: float
    left: float | None
    right: float | None
    conflicts: float
    interference: float | None = None
    unrelated: float | None = None


@dataclass(frozen=True)
class Measures:
    """What is known of one parameter, of a layer, or of all.

    norms              ‖τᵢ‖ by source; 0 where it did not train the parameter
    interference       singular-task interference, 0 for orthogonal sources
    over_accumulation  the largest factor by which the sum exceeds its strongest source's part in a
                       direction, in [1, n]: 1 for orthogonal sources, n for n equal ones
    """

    norms: tuple[float, ...]
    pairs: tuple[Pair, ...]
    interference: float | None
    over_accumulation: float | None


@dataclass(frozen=True, eq=False)
class Spectra:
    """The singular triples of low-rank deltas, in orthonormal bases that they share; float64.

    left, right  (k, R): coordinates of all left and right singular vectors, source by source
    sigma        (R,): their singular values
    owner        (R, n): 1 where a triple belongs to a source
    """

    left: Tensor
    right: Tensor
    sigma: Tensor
    owner: Tensor

    def inner(self) -> Tensor:
        """⟨τᵢ, τⱼ⟩ = Σ σₐσ_b (uₐᵀu_b)(vₐᵀv_b), (n, n)."""
        scaled = torch.outer(self.sigma, self.sigma)
        return self._blocks((self.left.T @ self.left) * (self.right.T @ self.right) * scaled)

    def overlap(self, side: Tensor) -> Tensor:
        """Mean squared cosine of the principal angles between two spaces, (n, n), in [0, 1]."""
        ranks = self.owner.sum(dim=0)
        smaller = torch.minimum(ranks[:, None], ranks[None, :]).clamp(min=1)
        return self._blocks((side.T @ side).square()) / smaller

    def interference(self) -> float:
        """‖(ÛᵀÛ − I)·Σ̂·(V̂ᵀV̂ − I)‖₁ / ‖Σ̂‖₁ (Gargiulo et al., 2025, arXiv:2412.00081)."""
        if not self.sigma.numel():
            return 0.0
        eye = torch.eye(len(self.sigma), dtype=self.sigma.dtype)
        crossed = self.left.T @ self.left - eye, self.right.T @ self.right - eye
        return ((crossed[0] * self.sigma @ crossed[1]).abs().sum() / self.sigma.sum()).item()

    def interferences(self) -> Tensor:
        """The same of every pair alone, (n, n): with the blocks C = UᵢᵀUⱼ and D = VᵢᵀVⱼ
        (‖C·Σⱼ·Dᵀ‖₁ + ‖Cᵀ·Σᵢ·D‖₁) / ‖[Σᵢ Σⱼ]‖₁.
        """
        spans = self._spans()
        crossed, across = self.left.T @ self.left, self.right.T @ self.right
        found = torch.zeros(len(spans), len(spans), dtype=self.sigma.dtype)
        for (i, one), (j, other) in permutations(enumerate(spans), 2):
            product = crossed[one, other] * self.sigma[other] @ across[one, other].T
            found[i, j] = product.abs().sum()
        return (found + found.T) / self._sums().clamp(min=1e-300)

    def unrelated(self, shape: tuple[int, ...]) -> Tensor:
        """What `interferences` would be for random directions in a matrix of this shape, (n, n).

        An element of C·Σⱼ·Dᵀ has mean 0 and variance ‖τⱼ‖²/(rows·columns) then, and there are rᵢ²
        of them.
        """
        ranks, norms = self.owner.sum(dim=0), (self.sigma.square() @ self.owner).sqrt()
        found = torch.outer(ranks.square(), norms) * math.sqrt(2 / math.pi / math.prod(shape))
        return (found + found.T) / self._sums().clamp(min=1e-300)

    def over_accumulation(self) -> float:
        """The largest ⟨uᵣᵀτ, uᵣᵀτᵢ⟩ / ‖uᵣᵀτᵢ‖² of the source with the largest part ‖uᵣᵀτᵢ‖, in the
        strongest directions of the sum.

        SVC (arXiv:2602.05536) takes this ratio of every source; for one that has next to nothing of
        a direction it is large whatever happens there.
        """
        if not self.sigma.numel():
            return 0.0
        total = (self.left * self.sigma) @ self.right.T
        U = torch.linalg.svd(total, full_matrices=False)[0][:, :_STRONGEST]
        parts = (U.T @ self.left) * self.sigma  # (directions, R): uᵣᵀτᵢ in the vectors of τᵢ
        of_total = (U.T @ total) @ self.right
        size, most = (parts.square() @ self.owner).max(dim=1)
        shared = ((parts * of_total) @ self.owner).gather(1, most[:, None]).squeeze(1)
        present = size > 1e-20 * self.sigma.square().sum().clamp(min=1e-300)
        return torch.where(present, shared / size.clamp(min=1e-300), 0.0).max().item()

    def _spans(self) -> list[slice]:
        ends = self.owner.sum(dim=0).cumsum(dim=0).int().tolist()
        return [slice(start, end) for start, end in pairwise([0, *ends])]

    def _sums(self) -> Tensor:
        sums = self.sigma @ self.owner
        return sums[:, None] + sums[None, :]

    def _blocks(self, values: Tensor) -> Tensor:
        return self.owner.T @ values @ self.owner


def spectra(deltas: Sequence[LowRank], triangles: Triangles | None = None) -> Spectra:
    """The singular triples of factors from their triangles, computed where they are not given,
    without forming a product of the parameter's size.
    """
    triangles = triangles or triangles_of(deltas)
    cuts = [delta.rank for delta in deltas]
    triples = [
        _triples(delta.scale * upper_B, upper_A)
        for delta, upper_B, upper_A in zip(
            deltas, triangles.B.split(cuts, dim=1), triangles.A.split(cuts, dim=1), strict=True
        )
    ]
    owner = torch.zeros(sum(len(s) for _, s, _ in triples), len(deltas), dtype=torch.float64)
    start = 0
    for place, (_, sigma, _) in enumerate(triples):
        owner[start : start + len(sigma), place] = 1
        start += len(sigma)
    U, sigma, V = (torch.cat(parts, dim=-1) for parts in zip(*triples, strict=True))
    return Spectra(U, V, sigma, owner)


def conflicts(blocks: Sequence[Tensor]) -> Tensor:
    """The share of |δᵢδⱼ| that points in opposite directions, (n, n): (|X|·|X|ᵀ − X·Xᵀ) / 2|X|·|X|ᵀ
    with a row of X per source.
    """
    X = torch.stack([block.reshape(-1) for block in blocks])
    size = X.abs() @ X.abs().T
    return torch.where(size > 0, (size - X @ X.T) / (2 * size).clamp(min=1e-300), 0.0)


def _triples(B: Tensor, A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, σ, V of B·Aᵀ for tall B and A, without the directions that are rounding."""
    Q, upper_B = torch.linalg.qr(B)
    P, upper_A = torch.linalg.qr(A)
    U, sigma, Vh = torch.linalg.svd(upper_B @ upper_A.T, full_matrices=False)
    kept = int((sigma > _NEGLIGIBLE * sigma[0]).sum()) if sigma.numel() else 0
    return Q @ U[:, :kept], sigma[:kept], P @ Vh[:kept].T
