"""The best approximation of a delta by a given rank (Eckart and Young, 1936)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from additive.deltas.model import Delta, LowRank
from additive.deltas.tiles import matrix_shape


@dataclass(frozen=True, eq=False)
class Compressed:
    """A delta cut to a rank; `energy` is the share of ‖Δ‖² that is left, [0, 1]."""

    delta: LowRank
    energy: float


def compress(delta: Delta, rank: int) -> Compressed:
    """Keep the `rank` largest singular values; B = U·√σ and A = √σ·Vᵀ, so that both are of like
    size.

    Of factors this is R×R algebra after two QR decompositions, of anything else one dense singular
    value decomposition, both in float64.

    >>> compress(LowRank(torch.eye(3), torch.diag(torch.tensor([2.0, 1.0, 0.0]))), 1).energy
    0.8
    """
    U, sigma, V = _triples(delta)
    total = sigma.square().sum().item()
    kept = max(1, min(rank, sigma.numel()))
    root = sigma[:kept].sqrt()
    B, A = (U[:, :kept] * root).float(), (V[:, :kept] * root).T.float().contiguous()
    energy = sigma[:kept].square().sum().item() / total if total > 0 else 1.0
    return Compressed(LowRank(B, A), min(energy, 1.0))


def _triples(delta: Delta) -> tuple[Tensor, Tensor, Tensor]:
    if isinstance(delta, LowRank):
        left, upper_B = torch.linalg.qr(delta.B.double() * delta.scale)
        right, upper_A = torch.linalg.qr(delta.A.double().T)
        U, sigma, Vh = torch.linalg.svd(upper_B @ upper_A.T, full_matrices=False)
        return left @ U, sigma, right @ Vh.T
    matrix = delta.dense().double().reshape(matrix_shape(tuple(delta.shape)))
    U, sigma, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U, sigma, Vh.T
