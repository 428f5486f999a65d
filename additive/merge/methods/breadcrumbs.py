"""Breadcrumbs: neither the smallest nor the very largest elements of a delta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.errors import UsageError
from additive.merge.method import DeltaStack, MergeMethod, Scope, check_at_least, check_fraction
from additive.merge.selection import kept, kth_magnitude

Band = tuple[float, float]


@dataclass(frozen=True)
class Breadcrumbs(MergeMethod):
    """τ = Σ wᵢ·mᵢ⊙τᵢ, mᵢ without the largest γ and the smallest 1−γ−density (Davari & Belilovsky,
    2024,
    arXiv:2312.06795).

    Assumes that outliers do harm and small elements are noise; that a delta's largest elements
    carry the skill, as TIES assumes, is the opposite.

    density: fraction of each delta that is kept, (0, 1]; gamma: fraction of the largest elements
    that is
        dropped, [0, 1); together at most 1.

    Scope: element, after a survey for both thresholds, per parameter as in the paper. Elements
    equal to the upper threshold are dropped, those equal to the lower are kept. Cost: three passes
    over the deltas.
    """

    scope: ClassVar[Scope] = "element"
    paper: ClassVar[str] = "arXiv:2312.06795"
    density: float = 0.85
    gamma: float = 0.01

    def __post_init__(self) -> None:
        """Check both fractions.

        Raises: UsageError.
        """
        check_fraction("breadcrumbs", "density", self.density)
        check_at_least("breadcrumbs", "gamma", self.gamma, 0.0)
        if self.density + self.gamma > 1.0 + 1e-9:
            raise UsageError(
                f"density + gamma of breadcrumbs is {self.density:g} + {self.gamma:g};"
                " expected at most 1"
            )

    def survey(self, stack: DeltaStack) -> tuple[Band, ...]:
        """Each source's lowest kept and lowest dropped magnitude."""
        numel = stack.base.numel()
        dropped = int(self.gamma * numel + 1e-9)
        last = kept(self.density, numel) + dropped
        return tuple(
            (
                kth_magnitude(delta, last),
                kth_magnitude(delta, dropped) if dropped else float("inf"),
            )
            for delta in stack.deltas
        )

    def merge(self, stack: DeltaStack) -> Tensor:
        """The weighted sum of the deltas within their bands."""
        bands = stack.survey or self.survey(stack)
        total = torch.zeros(stack.shape, device=stack.base.device)
        for delta, (low, high), weight in zip(stack.dense(), bands, stack.weights, strict=True):
            size = delta.abs()
            inside = size.clone().ge_(low).mul_(size.lt_(high))
            total.add_(inside.mul_(delta), alpha=weight)
        return total
