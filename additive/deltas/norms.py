"""The size of a delta, parameter by parameter; recorded at freeze."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from additive.deltas.model import Delta, LowRank
from additive.deltas.source import DeltaSource
from additive.deltas.tiles import tiles

# Below this share of ‖BᵀB‖·‖AAᵀ‖ the square is taken to have cancelled; random factors are near 1.
_CANCELLED = 0.1


def delta_norm(delta: Delta) -> float:
    """The Frobenius norm ‖δ‖, to about 1e-6 of it; of s·B·A from the factors' Gram matrices,
    ‖BA‖² = ⟨BᵀB, AAᵀ⟩.
    """
    if isinstance(delta, LowRank):
        return abs(delta.scale) * math.sqrt(max(_square(delta.B, delta.A), 0.0))
    total = 0.0
    for start, stop in tiles(delta.shape):
        block = delta.rows(start, stop).dense()
        total += torch.linalg.vector_norm(block, dtype=torch.float64).item() ** 2
    return math.sqrt(total)


def _square(B: Tensor, A: Tensor) -> float:
    """‖BA‖². Float32 rounds each Gram matrix by its own size, so that the square loses digits only
    where the sources' factors cancel; there, the products are taken in float64.
    """
    left, right = (B.T @ B).double(), (A @ A.T).double()
    square = torch.sum(left * right).item()
    if square > _CANCELLED * (torch.linalg.vector_norm(left) * torch.linalg.vector_norm(right)):
        return square
    B, A = B.double(), A.double()
    return torch.sum((B.T @ B) * (A @ A.T)).item()


def delta_norms(source: DeltaSource) -> dict[str, float]:
    """‖δ‖ of every trained parameter, in the base's order; a full fine-tune is streamed.

    Example: `delta_norms(open_deltas(directory, base, "math", digest))`
    """
    return {name: delta_norm(source.delta(name)) for name in source.parameters()}
