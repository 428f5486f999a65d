"""Localize-and-Stitch without data: only each source's largest elements over the whole model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy
import torch
from torch import Tensor

from additive.deltas.model import Delta, tiles
from additive.merge.method import DeltaStack, MergeMethod, Scope, check_fraction
from additive.merge.selection import kept

Counts = dict[str, tuple[numpy.ndarray, numpy.ndarray]]


@dataclass(frozen=True)
class LocalizeAndStitch(MergeMethod):
    """Keep each source's largest elements, average where they overlap (He et al., 2024,
    arXiv:2408.13656).

    τ = Σ wᵢ·mᵢ⊙τᵢ / Σ mᵢ, with mᵢ the largest `density` of source i over all its parameters
    together. Assumes that a skill sits in a small region; made for full fine-tunes.

    density: fraction of a source's elements that is kept, (0, 1]; 0.05 to 0.1 is the paper's
    without data.

    Scope: model; one pass counts magnitudes, one merges. Deviations: the regions are not learned
    from data; the threshold is rounded down to the 8 leading bits of a magnitude, so up to 0.8 %
    more magnitude range is kept. Cost: two passes.
    """

    scope: ClassVar[Scope] = "model"
    blockwise: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv:2408.13656"
    density: float = 0.1

    def __post_init__(self) -> None:
        """Check the density.

        Raises: UsageError.
        """
        check_fraction("localize_and_stitch", "density", self.density)

    def survey(self, stack: DeltaStack) -> Counts:
        """Per source: which magnitudes occur (their leading 16 bits) and how often."""
        found = {}
        for source, delta in zip(stack.sources, stack.deltas, strict=True):
            counts = magnitude_counts(delta)
            present = numpy.flatnonzero(counts)
            found[source] = (present, counts[present])
        return found

    def conclude(self, surveys: Mapping[str, Counts]) -> dict[str, float]:
        """Each source's threshold over all parameters."""
        totals: dict[str, numpy.ndarray] = {}
        for survey in surveys.values():
            for source, (present, counts) in survey.items():
                total = totals.setdefault(source, numpy.zeros(1 << 16, dtype=numpy.int64))
                total[present] += counts
        return {source: self._threshold(total) for source, total in totals.items()}

    def merge(self, stack: DeltaStack) -> Tensor:
        """The stitched regions."""
        thresholds = stack.survey or self.conclude({stack.name: self.survey(stack)})
        total = torch.zeros(stack.shape, device=stack.base.device)
        owners = torch.zeros_like(total)
        for source, delta, weight in zip(stack.sources, stack.dense(), stack.weights, strict=True):
            size = delta.abs()
            mask = size.sign().mul_(size.ge_(thresholds[source]))
            owners.add_(mask)
            total.add_(mask.mul_(delta), alpha=weight)
        return total / owners.clamp(min=1.0)

    def _threshold(self, counts: numpy.ndarray) -> float:
        keep = kept(self.density, int(counts.sum()))
        from_top = numpy.cumsum(counts[::-1])
        bits = len(counts) - 1 - int(numpy.searchsorted(from_top, keep))
        return float(numpy.array([bits << 16], dtype=numpy.uint32).view(numpy.float32)[0])


def magnitude_counts(delta: Delta) -> numpy.ndarray:
    """How often each pattern of sign-less leading 16 bits occurs: 8 of exponent, 7 and an implied
    one of mantissa.
    """
    counts = numpy.zeros(1 << 16, dtype=numpy.int64)
    for start, stop in tiles(delta.shape):
        bits = delta.rows(start, stop).dense().abs().reshape(-1).cpu().numpy().view(numpy.uint32)
        counts += numpy.bincount(bits >> 16, minlength=1 << 16)
    return counts
