"""Singular values of matrices whose rank is known to be small."""

from __future__ import annotations

import torch
from torch import Tensor

_MARGIN = 8
_EXACT = 1e-13


def svd(matrix: Tensor, rank: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """U, σ and Vᵀ of a float64 matrix, thin; of one of much lower rank than its size through its
    range.

    With Q an orthonormal basis of M·Ω, Ω a fixed Gaussian matrix of rank + 8 columns, M = Q·(QᵀM)
    when the rank is no larger than said (Halko et al., 2011, arXiv:0909.4061, without truncation).
    Where that does not hold to 1e-13 relative the whole matrix is decomposed.

    rank  how large it is thought to be at most; a wrong one costs time, not digits

    >>> U, sigma, Vh = svd(torch.ones(100, 100, dtype=torch.float64), rank=1)
    >>> round(sigma[0].item(), 9)
    100.0
    """
    if rank is not None and 3 * (rank + _MARGIN) <= min(matrix.shape):
        found = _through_range(matrix, rank + _MARGIN)
        if found is not None:
            return found
    U, sigma, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U, sigma, Vh


def _through_range(matrix: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor] | None:
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(matrix.shape[1], width, generator=generator, dtype=matrix.dtype)
    Q, _ = torch.linalg.qr(matrix @ probe.to(matrix.device))
    small = Q.T @ matrix
    if torch.linalg.norm(matrix - Q @ small) > _EXACT * torch.linalg.norm(matrix):
        return None
    U, sigma, Vh = torch.linalg.svd(small, full_matrices=False)
    return Q @ U, sigma, Vh
