"""RegMean: the delta whose outputs are nearest to every source's, on the source's own inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.deltas.model import Delta
from additive.errors import CompatibilityError, UsageError
from additive.merge.core import Core, in_core
from additive.merge.method import DeltaStack, MergeMethod, Scope, check_at_least


@dataclass(frozen=True)
class RegMean(MergeMethod):
    """argmin over τ of Σ wᵢ·‖Xᵢ(τ − τᵢ)ᵀ‖² within the adapters' own spaces (Jin et al., 2023,
    arXiv:2212.09849).

    Xᵢ are the inputs that the module sees on source i's training prompts. With V an orthonormal
    basis of all sources' input directions, Gᵢ = VᵀXᵢᵀXᵢV/rows and τᵢ = U·Mᵢ·Vᵀ,

        M = (Σ wᵢ·Mᵢ·Gᵢ)·(Σ wᵢ·Gᵢ + ε·g·I)⁻¹,   g the mean of the sum's diagonal

    (of Conv1D and embeddings, whose inputs meet rows, the same transposed, with U for V)

    so that a direction belongs to the source whose inputs use it. Needs no scale, but data: inputs
    that no domain showed are left to the ridge.

    reduction: α in [0, 1]; every Gᵢ becomes α·Gᵢ + (1−α)·gᵢ·I, gᵢ the mean of its diagonal: 1
    trusts the prompts, 0 knows only how large the inputs are. ridge: ε ≥ 0.

    Scope: parameter; LoRA alone. Weights say how much a domain counts, they do not scale its delta;
    one source is itself at any weight. Deviations: the minimum is taken over deltas that the
    adapters can hold, since the unrestricted one leaves their input space; the paper multiplies
    what lies off the diagonal by α, which would depend on the choice of V. Cost: one pass over some
    prompts per source (kept in sidecars), then R×R algebra.
    """

    scope: ClassVar[Scope] = "parameter"
    paper: ClassVar[str] = "arXiv:2212.09849"
    keeps_factors: ClassVar[bool] = True
    needs_factors: ClassVar[bool] = True
    needs_grams: ClassVar[bool] = True
    reduction: float = 0.9
    ridge: float = 1e-6

    def __post_init__(self) -> None:
        """Check both parameters.

        Raises: UsageError.
        """
        check_at_least("regmean", "ridge", self.ridge, 0.0)
        if not 0.0 <= self.reduction <= 1.0:
            raise UsageError(f"reduction of regmean is {self.reduction:g}; expected in [0, 1]")

    def check_weights(self, weights: tuple[float, ...]) -> None:
        """Refuse weights that are no amounts.

        Raises: UsageError.
        """
        if min(weights) < 0 or sum(weights) == 0:
            raise UsageError(
                "a weight of regmean is negative, or all are 0, when weights say how much a domain"
                " counts",
                help="take task_arithmetic to subtract a delta",
            )

    def check_ranks(self, name: str, ranks: Sequence[int | None]) -> None:
        """Refuse a parameter whose sources are no factors.

        Raises: CompatibilityError.
        """
        if None in ranks:
            raise CompatibilityError(
                f"{name} was trained without LoRA factors when regmean needs them",
                help=f"give it another method: --rule '{name}=linear'",
            )

    def merge(self, stack: DeltaStack) -> Delta:
        """The least-squares delta."""
        return in_core(stack, self.merge_core)

    def merge_core(self, core: Core) -> Tensor:
        """The least-squares delta in core space."""
        if len(core.grams) < len(core.matrices):
            raise UsageError(
                "regmean has no Gram matrices of its sources; it weighs them by their inputs",
                help="`additive merge … --method regmean` computes them from the training prompts,"
                " and so does `additive.candidates(…, grams=True)`",
            )
        mixed, total = torch.zeros_like(core.matrices[0]), None
        for weight, matrix, gram in zip(core.weights, core.matrices, core.grams, strict=True):
            G = weight * self._reduced(gram)
            mixed = mixed + (G @ matrix if core.inputs == "rows" else matrix @ G)
            total = G if total is None else total + G
        assert total is not None
        level = total.diagonal().mean()
        if level <= 0:
            return torch.zeros_like(mixed)
        ridged = total + self.ridge * level * torch.eye(
            len(total), dtype=total.dtype, device=total.device
        )
        inverse = torch.linalg.pinv(ridged, hermitian=True)
        return inverse @ mixed if core.inputs == "rows" else mixed @ inverse

    def _reduced(self, gram: Tensor) -> Tensor:
        level = gram.diagonal().mean()
        even = level * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        return self.reduction * gram + (1.0 - self.reduction) * even
