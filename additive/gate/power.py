"""What a number of items can decide, before or after asking.

n items with the share ψ of changed ones give the difference D with the variance (ψ − D²)/n, so

    P(pass)     = Φ((m + D) / √((ψ − D²)/n) − z_α)
    items       = (z_α + z_β)² (ψ − D²) / (m + D)²
"""

from __future__ import annotations

import math
from statistics import NormalDist

from additive.gate.exact import items_without_loss

LIKELY_CHANGED = 0.12


_MOST_ITEMS = 10_000_000


def items_needed(
    difference: float, variance: float, margin: float, alpha: float = 0.05, power: float = 0.80
) -> int | None:
    """Items that settle a comparison in `power` of the cases if its difference is what was seen.

    Args: variance is per item, ψ − D² for 0/1 scores.
    Returns: None when the difference sits on the margin and no number would settle it.

    >>> items_needed(0.0, 0.12, 0.05)
    297
    """
    distance = abs(margin + difference)
    reach = NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power)
    least = items_without_loss(margin, alpha) if margin > 0 else 1
    if distance < reach * math.sqrt(variance / _MOST_ITEMS):
        return None
    return max(least, math.ceil(reach**2 * variance / distance**2)) if distance else least


def chance_of_passing(
    n: int, changed: float, margin: float, drop: float = 0.0, alpha: float = 0.05
) -> float:
    """P(pass) when the true loss is `drop` and the share `changed` of the items changes hands.

    >>> round(chance_of_passing(1000, 0.12, 0.05), 3)
    0.998
    """
    if n < items_without_loss(margin, alpha):
        return 0.0
    error = math.sqrt(max(changed - drop**2, 1e-12) / n)
    return NormalDist().cdf((margin - drop) / error - NormalDist().inv_cdf(1 - alpha))


def visible_drop(
    n: int, changed: float, margin: float, alpha: float = 0.05, power: float = 0.80
) -> float:
    """The smallest true loss that fails in `power` of the cases: what a check of n items could see.

    The share of changed items is at least the loss itself. Found by halving; 1 when none is seen.

    >>> round(visible_drop(1000, 0.12, 0.05), 3)
    0.077
    """
    low, high = margin, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if _chance_of_failing(n, max(changed, middle), margin, middle, alpha) < power:
            low = middle
        else:
            high = middle
    return high


def _chance_of_failing(n: int, changed: float, margin: float, drop: float, alpha: float) -> float:
    error = math.sqrt(max(changed - drop**2, 1e-12) / n)
    return NormalDist().cdf((drop - margin) / error - NormalDist().inv_cdf(1 - alpha))
