"""LiNeS: the merged delta scaled layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from additive.errors import UsageError
from additive.merge.method import DeltaStack, Step


@dataclass(frozen=True)
class Lines(Step):
    """λₗ = first + (last − first)·l/(L−1) for layer l of L (Wang et al., 2025, arXiv:2410.17146).

    Assumes that shallow layers hold what all tasks share, so that a merge should change them less.
    The recipe's scale multiplies λₗ.

    first, last: the factors of the first and of the last layer, dimensionless.

    Layers are counted by the first number in a parameter's name (`model.layers.3.…` is layer 3).
    In the paper's words first is α and last α + β. Deviations: the authors set α to ‖Σ τᵢ‖/(n·‖τ‖)
    of the merged τ (1/n for a plain sum) and tune β; here both ends are given. Parameters outside
    of the layers (embedding, last norm, head) keep the factor 1, where the authors' code takes α.
    Cost: none.
    """

    first: float = 0.5
    last: float = 1.0

    def __post_init__(self) -> None:
        """Check both factors.

        Raises: UsageError.
        """
        for name, value in (("first", self.first), ("last", self.last)):
            if not math.isfinite(value):
                raise UsageError(f"{name} of lines is {value}; expected a finite number")

    def factor(self, stack: DeltaStack) -> float:
        """λₗ of the parameter's layer; 1 outside of the layers."""
        if stack.layer is None:
            return 1.0
        index, count = stack.layer
        return self.first + (self.last - self.first) * index / max(count - 1, 1)
