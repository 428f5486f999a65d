"""Two models on the same items: the difference, its interval, and how it was found.

    0/1 scores                      Tango's score test
    0/1 scores, fewer than 5 won    the exact binomial test on the lost items must hold as well
    graded scores                   Student's t; under 30 items the sign-flip permutation test
    clustered items                 t with errors that are independent between clusters only

The lower end of the interval contains the exact test, so that one rule reads all of it: the loss is
below a margin m when low > −m.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from additive.errors import UsageError
from additive.gate.exact import upper_bound
from additive.gate.graded import (
    clustered_error,
    independent_error,
    t_interval,
    t_probability,
    typical_values,
)
from additive.gate.score_test import score_interval, tango
from additive.types.results import PairedItem

FEW_WON = 5


FEW_CHANGED = 10


FEW_GRADED = 30


@dataclass(frozen=True)
class Comparison:
    """Candidate minus reference over n paired items.

    `low` and `high` end the two-sided interval of the mean difference; each side errs with the
    probability that was asked for. `b10` items got worse and `b01` better. `error` is the standard
    error, with `freedom` degrees of freedom.
    """

    n: int
    difference: float
    low: float
    high: float
    b10: int
    b01: int
    error: float
    freedom: int
    method: str

    def harm(self, margin: float) -> float:
        """p of the hypothesis "no more than `margin` is lost"; small when more is."""
        if self.method == "tango":
            return NormalDist().cdf(tango(self.b10, self.b01, self.n, margin))
        return t_probability(self.difference + margin, self.error, self.freedom)


def compare(
    items: Sequence[PairedItem], alpha: float = 0.05, exact_guard: bool = True
) -> Comparison:
    """The candidate against the reference.

    Args: alpha is the error of each side, 0.05 for the two-sided 90 % interval; exact_guard widens
    the lower end to the exact test's where hardly any item changed hands.
    Raises: UsageError when there are no items.
    """
    _some(items)
    if _clusters(items) is None and _binary(items):
        found = _by_counts(items, alpha)
    else:
        values = [item.candidate - item.reference for item in items]
        found = _by_mean(items, values, alpha, "graded")
    return _guarded(found, items, alpha) if exact_guard else found


def compare_retained(
    items: Sequence[PairedItem],
    base: Sequence[float],
    retain: float,
    alpha: float = 0.05,
    exact_guard: bool = True,
) -> tuple[Comparison, float]:
    """The merge against "at least the share f = `retain` of what the specialist gained".

    With c_i = merged_i − f·specialist_i − (1 − f)·base_i the hypothesis is E c ≤ 0 (Pigeot et al.,
    Statistics in Medicine 22, 2003). The result is told as merged − specialist with the margin
    (1 − f)·gain, which is c less that margin; its interval carries the gain's uncertainty too.

    Returns: the comparison, and the margin.
    """
    _some(items)
    gain = math.fsum(i.reference - b for i, b in zip(items, base, strict=True)) / len(items)
    margin = (1 - retain) * gain
    kept = [
        item.candidate - retain * item.reference - (1 - retain) * b
        for item, b in zip(items, base, strict=True)
    ]
    found = _by_mean(items, kept, alpha, "retention")
    moved = replace(
        found,
        difference=found.difference - margin,
        low=max(-1.0, found.low - margin),
        high=min(1.0, found.high - margin),
    )
    return (_guarded(moved, items, alpha) if exact_guard else moved), margin


def _by_counts(items: Sequence[PairedItem], alpha: float) -> Comparison:
    n, (b10, b01) = len(items), _changed(items)
    low, high = score_interval(b10, b01, n, 1 - 2 * alpha)
    error, freedom = independent_error([item.candidate - item.reference for item in items])
    return Comparison(n, (b01 - b10) / n, low, high, b10, b01, error, freedom, "tango")


def _by_mean(
    items: Sequence[PairedItem], values: Sequence[float], alpha: float, what: str
) -> Comparison:
    n, (b10, b01), clusters = len(items), _changed(items), _clusters(items)
    mean = math.fsum(values) / n
    error, freedom = (
        clustered_error(values, clusters) if clusters is not None else independent_error(values)
    )
    if clusters is None and n < FEW_GRADED:
        (low, high), how = typical_values(values, alpha), "permutation"
    else:
        (low, high), how = (
            t_interval(mean, error, freedom, alpha),
            "t" if clusters is None else "clusters",
        )
    return Comparison(n, mean, low, high, b10, b01, error, freedom, f"{what}, {how}")


def _guarded(found: Comparison, items: Sequence[PairedItem], alpha: float) -> Comparison:
    """The same with its lower end no better than the exact test on the lost items allows.

    A loss of m in scores within [0, 1] needs a share m of worse items, so the test holds for graded
    scores too; there it is asked only while few items changed at all, since it counts every small
    loss as a whole one.
    """
    few = found.b01 < FEW_WON and (_binary(items) or found.b10 + found.b01 < FEW_CHANGED)
    if not few:
        return found
    return replace(found, low=min(found.low, -upper_bound(found.b10, found.n, alpha)))


def _changed(items: Sequence[PairedItem]) -> tuple[int, int]:
    lost = sum(item.candidate < item.reference for item in items)
    return lost, sum(item.candidate > item.reference for item in items)


def _binary(items: Sequence[PairedItem]) -> bool:
    return all(item.reference in (0, 1) and item.candidate in (0, 1) for item in items)


def _clusters(items: Sequence[PairedItem]) -> list[Hashable] | None:
    """Each item's cluster, an item without one being its own; none when no two items share one."""
    if all(item.cluster is None for item in items):
        return None
    names: list[Hashable] = [item.cluster or (item.id, place) for place, item in enumerate(items)]
    return names if len(set(names)) < len(names) else None


def _some(items: Sequence[PairedItem]) -> None:
    if not items:
        raise UsageError("results have no items; a comparison needs at least one")
