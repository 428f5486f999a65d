"""Core space: low-rank deltas of one parameter as small matrices in a shared orthonormal basis.

With QR factors of the stacked factors, [B₁ … Bₙ] = U·R_B and [A₁; …; Aₙ]ᵀ = V·R_A, every delta is
τᵢ = U·Mᵢ·Vᵀ with Mᵢ = sᵢ·R_B[i]·R_A[i]ᵀ of at most R×R, R the sum of the ranks. Singular values and
inner products of the Mᵢ are those of the τᵢ, so a spectral method on the Mᵢ is the dense method,
at the cost of R instead of the parameter's size (Core Space, Panariello et al., 2025,
arXiv:2509.17786). All of it is float64; where a source is no low-rank delta the basis is the
identity and M is the delta itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from additive.deltas.model import Delta, Dense, LowRank, combine
from additive.deltas.tiles import matrix_shape
from additive.merge.stack import DeltaStack

_NOISE_OF_FACTORS, _NOISE_OF_TENSORS = 1e-10, 1e-6


@dataclass(frozen=True, eq=False)
class Core:
    """The deltas of one parameter in core space.

    left, right  orthonormal columns, (rows, k) and (columns, k), float64; None stands for the
                 identity
    matrices     one per source, in the stack's order, float64, (k, k) or the matrix view's shape
    ranks        an upper bound of each matrix's rank
    noise        singular values below this share of the largest are rounding of the inputs
    """

    left: Tensor | None
    right: Tensor | None
    matrices: tuple[Tensor, ...]
    ranks: tuple[int, ...]
    noise: float

    def svd(self, matrix: Tensor, rank: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """U, σ, V of at most `rank` singular values, without those that are rounding."""
        U, sigma, Vh = torch.linalg.svd(matrix, full_matrices=False)
        real = int((sigma > self.noise * sigma[0]).sum()) if sigma.numel() else 0
        kept = real if rank is None else min(rank, real)
        return U[:, :kept], sigma[:kept], Vh[:kept].T

    def lift(self, matrix: Tensor, shape: tuple[int, ...]) -> Delta:
        """The delta of the parameter that a core matrix stands for, float32."""
        if self.left is None or self.right is None:
            return Dense(matrix.float().reshape(shape))
        return LowRank((self.left @ matrix).float(), self.right.T.float().contiguous())


def core_of(stack: DeltaStack) -> Core:
    """The stack's deltas in core space; unweighted."""
    low = [delta for delta in stack.deltas if isinstance(delta, LowRank)]
    if len(low) < len(stack.deltas) or not low:
        matrices = tuple(_whole(delta) for delta in stack.deltas)
        ranks = tuple(min(matrix.shape) for matrix in matrices)
        return Core(None, None, matrices, ranks, _NOISE_OF_TENSORS)
    left, upper_B = torch.linalg.qr(torch.cat([delta.B.double() for delta in low], dim=1))
    right, upper_A = torch.linalg.qr(torch.cat([delta.A.double() for delta in low], dim=0).T)
    matrices, start = [], 0
    for delta in low:
        part = slice(start, start + delta.rank)
        matrices.append(delta.scale * upper_B[:, part] @ upper_A[:, part].T)
        start += delta.rank
    ranks = tuple(min(delta.rank, *delta.shape) for delta in low)
    return Core(left, right, tuple(matrices), ranks, _NOISE_OF_FACTORS)


def in_core(stack: DeltaStack, merge: Callable[[Core], Tensor]) -> Delta:
    """Merge a matrix parameter in core space; vectors and higher-dimensional ones are averaged.

    No spectrum is defined for a vector; the weighted mean is what the authors of the spectral
    methods take there.
    """
    if len(stack.shape) != 2:
        shares = [weight / stack.count for weight in stack.weights]
        return combine(list(zip(shares, stack.deltas, strict=True)))
    core = core_of(stack)
    return core.lift(merge(core), stack.shape)


def _whole(delta: Delta) -> Tensor:
    return delta.dense().double().reshape(matrix_shape(tuple(delta.shape)))
