"""Holm's step-down correction, used only to name what regressed.

The verdict "every domain holds" needs no correction: all tests must reject at alpha (an
intersection-union test). The list "these domains regressed" is a family of claims and does.
"""

from __future__ import annotations

from collections.abc import Mapping


def holm(probabilities: Mapping[str, float], alpha: float) -> tuple[str, ...]:
    """The names whose hypothesis is rejected with family-wise error alpha, smallest p first.

    >>> holm({"math": 0.001, "code": 0.03, "safety": 0.4}, 0.05)
    ('math',)
    """
    ordered = sorted(probabilities.items(), key=lambda pair: (pair[1], pair[0]))
    rejected: list[str] = []
    for place, (name, p) in enumerate(ordered):
        if p > alpha / (len(ordered) - place):
            break
        rejected.append(name)
    return tuple(rejected)
