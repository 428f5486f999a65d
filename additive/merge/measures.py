"""The numbers of a diagnosis, and how shared directions are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_NEGLIGIBLE = 1e-10


@dataclass(frozen=True)
class Pair:
    """Two sources, by position.

    cosine       of their deltas, [-1, 1]
    left, right  overlap of their output and input spaces, [0, 1]; None where a source is not low-
                 rank
    conflicts    share of |δᵢδⱼ| with opposite signs, [0, 1]; 0.5 for unrelated deltas
    """

    first: int
    second: int
    cosine: float
    left: float | None
    right: float | None
    conflicts: float


@dataclass(frozen=True)
class Measures:
    """What is known of one parameter, or of all.

    norms         ‖τᵢ‖ by source; 0 where it did not train the parameter
    interference  singular-task interference, 0 for orthogonal sources
    piled         the largest factor by which the sum exceeds one source's own part of a direction
    """

    norms: tuple[float, ...]
    pairs: tuple[Pair, ...]
    interference: float | None
    piled: float | None


def overlap(one: Tensor, other: Tensor) -> float:
    """How much of the smaller column space lies in the other: mean squared cosine of principal
    angles.
    """
    Q, P = _basis(one), _basis(other)
    smaller = min(Q.shape[1], P.shape[1])
    return ((Q.T @ P).square().sum() / smaller).item() if smaller else 0.0


def singular_task_interference(matrices: Sequence[Tensor]) -> float:
    """‖(ÛᵀÛ − I)·Σ̂·(V̂ᵀV̂ − I)‖₁ / ‖Σ̂‖₁ of all sources' singular triples (Gargiulo et al., 2025)."""
    triples = [torch.linalg.svd(matrix, full_matrices=False) for matrix in matrices]
    kept = [int((s > _NEGLIGIBLE * s[0]).sum()) if s.numel() else 0 for _, s, _ in triples]
    U = torch.cat([U[:, :k] for (U, _, _), k in zip(triples, kept, strict=True)], dim=1)
    V = torch.cat([Vh[:k].T for (_, _, Vh), k in zip(triples, kept, strict=True)], dim=1)
    sigma = torch.cat([s[:k] for (_, s, _), k in zip(triples, kept, strict=True)])
    if not sigma.numel():
        return 0.0
    eye = torch.eye(len(sigma), dtype=sigma.dtype)
    mixed = (U.T @ U - eye) * sigma @ (V.T @ V - eye)
    return (mixed.abs().sum() / sigma.sum()).item()


def _basis(matrix: Tensor) -> Tensor:
    U, sigma, _ = torch.linalg.svd(matrix, full_matrices=False)
    kept = int((sigma > _NEGLIGIBLE * sigma[0]).sum()) if sigma.numel() else 0
    return U[:, :kept]
