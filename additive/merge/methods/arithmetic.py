"""Weighted sums of deltas: exact, in factor space, the only methods an adapter can hold exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from additive.deltas.model import Delta, combine
from additive.errors import UsageError
from additive.merge.core import Core
from additive.merge.method import DeltaStack, MergeMethod, Scope


@dataclass(frozen=True)
class TaskArithmetic(MergeMethod):
    """Task arithmetic: τ = Σ wᵢ·τᵢ (Ilharco et al., 2023, arXiv:2212.04089).

    Assumes that the specialists' deltas are nearly orthogonal; fails where they push the same
    direction twice (the scale then has to be small) or where their norms differ by factors. The
    recipe's scale λ multiplies the sum; 1/n to 1 are usual, and `validation` chooses it.

    Scope: parameter, but lazy: low-rank deltas are stacked, [w₁s₁B₁ … wₙsₙBₙ]·[A₁; …; Aₙ], and full
    fine-tunes are subtracted block by block. Cost: one matrix product of rank Σr.
    """

    scope: ClassVar[Scope] = "parameter"
    paper: ClassVar[str] = "arXiv:2212.04089"
    is_linear: ClassVar[bool] = True
    keeps_factors: ClassVar[bool] = True

    def merge(self, stack: DeltaStack) -> Delta:
        """Σ wᵢ·τᵢ, in factor space where the deltas are."""
        return combine(list(zip(stack.weights, stack.deltas, strict=True)))

    def merge_core(self, core: Core) -> Tensor:
        """Σ wᵢ·Mᵢ."""
        return core.sum()


@dataclass(frozen=True)
class Linear(MergeMethod):
    """The weighted average of models: τ = Σ wᵢ·τᵢ / Σ wᵢ (model soups, Wortsman et al., 2022,
    arXiv:2203.05482).

    A source that did not train a parameter counts with a zero delta, as averaging whole models
    does. Safe and weak: with n unrelated domains every delta is shrunk to 1/n.

    Scope and cost as `task_arithmetic`.
    """

    scope: ClassVar[Scope] = "parameter"
    paper: ClassVar[str] = "arXiv:2203.05482"
    is_linear: ClassVar[bool] = True
    keeps_factors: ClassVar[bool] = True

    def check_weights(self, weights: tuple[float, ...]) -> None:
        """Refuse weights whose sum cannot divide.

        Raises: UsageError.
        """
        if sum(weights) == 0:
            raise UsageError(
                "the weights of linear add up to 0; their sum divides the deltas",
                help="give other weights, or use task_arithmetic, which does not divide",
            )

    def merge(self, stack: DeltaStack) -> Delta:
        """Σ wᵢ·τᵢ / Σ wᵢ, in factor space where the deltas are."""
        shares = [weight / stack.total for weight in stack.weights]
        return combine(list(zip(shares, stack.deltas, strict=True)))

    def merge_core(self, core: Core) -> Tensor:
        """Σ wᵢ·Mᵢ / Σ wᵢ."""
        return core.sum() / core.total
