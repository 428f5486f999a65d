"""TIES: trim, elect sign, disjoint mean.

Sign election and disjoint mean: the second half of TIES, shared with DARE.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from additive.merge.method import DeltaStack, MergeMethod, Scope, check_fraction
from additive.merge.selection import kept, kth_magnitude


def disjoint_mean(deltas: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Per element: elect the sign of Σ wᵢδᵢ, then the weighted mean of the deltas that have it.

    Zeros take part in neither. Where the votes cancel exactly nobody is elected and the element is
    0 (the authors' code gives such elements the majority sign of the whole model). A negative
    weight votes with its sign and averages with its size.
    """
    elected = torch.zeros_like(deltas[0])
    for delta, weight in zip(deltas, weights, strict=True):
        elected.add_(delta, alpha=weight)
    elected.sign_()
    size, mass = torch.zeros_like(elected), torch.zeros_like(elected)
    for delta, weight in zip(deltas, weights, strict=True):
        # |δ| where the sign is the elected one, else 0: arithmetic costs a tenth of torch.where.
        agreed = (delta * elected).mul_(math.copysign(1.0, weight)).relu_()
        size.add_(agreed, alpha=abs(weight))
        mass.add_(agreed.sign_(), alpha=abs(weight))
    return size.div_(mass.clamp_(min=torch.finfo(mass.dtype).tiny)).mul_(elected)


@dataclass(frozen=True)
class Ties(MergeMethod):
    """Trim each delta to its largest elements, elect a sign per element, average those that agree.

    (Yadav et al., 2023, arXiv:2306.01708.) Assumes that what matters of a delta is in its few
    largest elements; that holds for full fine-tunes better than for LoRA, whose deltas are spread
    out.

    density: fraction of each delta that is kept, (0, 1]; 0.2 is the paper's, 1.0 trims nothing.

    Deviations: the threshold is taken per parameter (the paper: over the whole model); the mean is
    weighted by the sources' weights; exact cancellation elects nobody. Elements equal to the
    threshold are kept, as in the authors' code.

    Scope: element, after a survey for the thresholds. Cost: two passes over the deltas, dense
    blocks.
    """

    scope: ClassVar[Scope] = "element"
    paper: ClassVar[str] = "arXiv:2306.01708"
    density: float = 0.2

    def __post_init__(self) -> None:
        """Check the density.

        Raises: UsageError.
        """
        check_fraction("ties", "density", self.density)

    def survey(self, stack: DeltaStack) -> tuple[float, ...]:
        """Each source's threshold: its k-th largest magnitude in this parameter."""
        return tuple(
            kth_magnitude(delta, kept(self.density, stack.base.numel())) for delta in stack.deltas
        )

    def merge(self, stack: DeltaStack) -> Tensor:
        """The disjoint mean of the trimmed deltas."""
        thresholds = stack.survey or self.survey(stack)
        trimmed = [
            delta.abs().ge_(threshold).mul_(delta)
            for delta, threshold in zip(stack.dense(), thresholds, strict=True)
        ]
        return disjoint_mean(trimmed, stack.weights)
