"""The exact binomial test on lost items: what remains to be asked when hardly anything changed.

A candidate that loses `margin` or more loses at least that share of the items the reference has
right, so b10 ~ Binomial(n, p ≥ margin). Seeing b10 or fewer losses then has probability at most
P(Binomial(n, margin) ≤ b10). It needs no approximation, and it does not look at what was won.
"""

from __future__ import annotations

import math

_HALVINGS = 60


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) ≤ k).

    >>> round(binomial_cdf(0, 149, 0.02), 4)
    0.0493
    """
    if k >= n or p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    logs = (
        math.log(math.comb(n, i)) + i * math.log(p) + (n - i) * math.log1p(-p) for i in range(k + 1)
    )
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def upper_bound(k: int, n: int, alpha: float) -> float:
    """The largest share of losses that k losses among n items leave possible (Clopper-Pearson).

    `binomial_cdf(k, n, m) ≤ alpha` and `upper_bound(k, n, alpha) ≤ m` say the same.

    >>> round(upper_bound(0, 149, 0.05), 4)
    0.0199
    """
    if k >= n:
        return 1.0
    low, high = k / n, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if binomial_cdf(k, n, middle) > alpha:
            low = middle
        else:
            high = middle
    return high


def items_without_loss(margin: float, alpha: float) -> int:
    """The fewest items that can pass when none is lost: the smallest n with (1 − margin)^n ≤ alpha.

    >>> items_without_loss(0.02, 0.05), items_without_loss(0.05, 0.05)
    (149, 59)
    """
    return 1 if margin >= 1 else max(1, math.ceil(math.log(alpha) / math.log1p(-margin)))
