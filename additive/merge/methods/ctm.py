"""CtM: one shared basis of low rank, and a vote on the coordinates in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.deltas.model import Delta
from additive.errors import UsageError
from additive.merge.core import Core, in_core
from additive.merge.method import DeltaStack, MergeMethod, Scope, check_fraction
from additive.merge.methods.ties import disjoint_mean
from additive.merge.selection import kept

_SWEEPS = 3


@dataclass(frozen=True)
class Ctm(MergeMethod):
    """Compress, then merge: TIES on r×r coordinates in a shared Tucker-2 basis (arXiv:2606.03723).

    Sources are rescaled to the lengths β·‖τᵢ‖ + (1−β)·‖τ‖, ‖τ‖ their mean, so that none owns the
    basis; U and V (r orthonormal columns each) keep most of Σ ‖Uᵀ(rescaled τᵢ)V‖². The coordinates
    Cᵢ = Uᵀτᵢ·V of the sources as they are get trimmed to their largest `density`, a sign is elected
    per coordinate, those that agree are averaged, and τ = U·C·Vᵀ has rank r: as large as one
    source. Assumes that the sources' directions are few and shared; what lies outside of the basis
    is lost, more with every further source.

    rank: r; 0 takes the largest rank of a source. density: fraction of each source's coordinates
    that is kept, (0, 1]. beta: β in [0, 1]; 0 gives all sources one length, 1 leaves them theirs.
    Density, β and a scale of 0.75 are those of the authors' example.

    Not the dense form of anything: a vote depends on the basis. Here it is that of the largest
    singular values after three alternating sweeps from the SVD of the sources side by side; a flip
    of a basis vector's sign changes no vote, so the result is determined wherever singular values
    differ. Scope: parameter. Cost: R×R algebra for LoRA, dense SVDs otherwise. Deviations: weights
    multiply the votes; three sweeps, where the authors' code goes on until the fit stands still.
    """

    scope: ClassVar[Scope] = "parameter"
    paper: ClassVar[str] = "arXiv:2606.03723"
    keeps_factors: ClassVar[bool] = True
    dense_differs: ClassVar[bool] = True
    rank: int = 0
    density: float = 0.25
    beta: float = 0.25

    def __post_init__(self) -> None:
        """Check all parameters.

        Raises: UsageError.
        """
        if self.rank < 0:
            raise UsageError(f"rank of ctm is {self.rank}; expected at least 0")
        check_fraction("ctm", "density", self.density)
        if not 0.0 <= self.beta <= 1.0:
            raise UsageError(f"beta of ctm is {self.beta:g}; expected in [0, 1]")

    def merge(self, stack: DeltaStack) -> Delta:
        """The voted coordinates on the shared basis."""
        return in_core(stack, self.merge_core)

    def merge_core(self, core: Core) -> Tensor:
        """The same in core space, where it is computed anyway."""
        rank = min(self.rank or max(core.ranks), *core.matrices[0].shape)
        U, V = shared_basis(_rescaled(core, self.beta), rank)
        coordinates = [U.T @ matrix @ V for matrix in core.matrices]
        trimmed = [_trimmed(C, self.density) for C in coordinates]
        return U @ disjoint_mean(trimmed, core.weights) @ V.T


def shared_basis(matrices: list[Tensor], rank: int) -> tuple[Tensor, Tensor]:
    """U and V of a Tucker-2 decomposition, by alternating SVDs (De Lathauwer et al., 2000)."""
    V = _leading(torch.cat(matrices, dim=0).T, rank)
    U = _leading(torch.cat(matrices, dim=1), rank)
    for _ in range(_SWEEPS):
        U = _leading(torch.cat([matrix @ V for matrix in matrices], dim=1), rank)
        V = _leading(torch.cat([matrix.T @ U for matrix in matrices], dim=1), rank)
    return U, V


def _rescaled(core: Core, beta: float) -> list[Tensor]:
    sizes = [torch.linalg.norm(matrix) for matrix in core.matrices]
    mean = sum(sizes) / len(sizes)
    return [
        matrix * (beta + (1.0 - beta) * mean / size) if size > 0 else matrix
        for matrix, size in zip(core.matrices, sizes, strict=True)
    ]


def _leading(matrix: Tensor, rank: int) -> Tensor:
    return torch.linalg.svd(matrix, full_matrices=False)[0][:, :rank]


def _trimmed(coordinates: Tensor, density: float) -> Tensor:
    sizes = coordinates.abs().reshape(-1)
    keep = kept(density, sizes.numel())
    threshold = sizes.kthvalue(sizes.numel() - keep + 1).values
    return torch.where(coordinates.abs() >= threshold, coordinates, 0.0)
