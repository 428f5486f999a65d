"""Tango's score test for the difference of two paired proportions.

n items are answered by a reference and a candidate. b10 items are right by the reference alone, b01
by the candidate alone; D = (b01 − b10) / n is the candidate's gain. With D = L as hypothesis, the
most likely share of b10 items is

    q = (√(B² − 4AC) − B) / 2A
    A = 2n,   B = −b01 − b10 + (2n − b01 + b10) L,   C = −b10 L (1 − L)

and z(L) = (b01 − b10 − nL) / √(n (2q + L(1 − L))) is standard normal. Unlike the Wald interval and
McNemar's test it holds its error on small suites with few changed items (docs/gate.md).

Tango, Equivalence test and confidence interval for the difference in proportions for the
paired-sample design, Statistics in Medicine 17 (1998).
"""

from __future__ import annotations

import math
from statistics import NormalDist

from additive.errors import UsageError

_HALVINGS = 60  # an interval of length 2 shrinks below one unit in the last place


def tango(b10: int, b01: int, n: int, margin: float) -> float:
    """z of the hypothesis "the candidate loses `margin` or more"; large z speaks against it.

    Args: b10 items were lost and b01 won out of n; margin is an absolute fraction in [0, 1).
    Raises: UsageError when the counts do not fit n or the margin is no fraction.

    >>> round(tango(112, 62, 1319, 0.03), 6)
    -0.798278
    """
    _check(b10, b01, n)
    if not 0 <= margin < 1:
        raise UsageError(f"margin is {margin}; expected a fraction in [0, 1)")
    return _z(b10, b01, n, -margin)


def score_interval(b10: int, b01: int, n: int, level: float = 0.90) -> tuple[float, float]:
    """Two-sided interval of D: every L that the score test does not reject.

    Args: level is the confidence; 0.90 gives one-sided tests of size 0.05 at both ends.
    Raises: UsageError when the counts do not fit n or the level is not inside (0, 1).

    >>> [round(end, 6) for end in score_interval(20, 40, 160, level=0.95)]
    [0.030865, 0.218064]
    """
    _check(b10, b01, n)
    if not 0 < level < 1:
        raise UsageError(f"level is {level}; expected inside (0, 1)")
    bound = NormalDist().inv_cdf(0.5 + level / 2)
    return _lower(b10, b01, n, bound), -_lower(b01, b10, n, bound)


def _check(b10: int, b01: int, n: int) -> None:
    if n < 1 or b10 < 0 or b01 < 0 or b10 + b01 > n:
        raise UsageError(
            f"counts are b10={b10}, b01={b01}, n={n} when both should be at least 0, with a sum of "
            "at most n, and n at least 1"
        )


def _z(b10: int, b01: int, n: int, low: float) -> float:
    a = 2 * n
    b = -b01 - b10 + (2 * n - b01 + b10) * low
    c = -b10 * low * (1 - low)
    q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * q + low * (1 - low))
    gap = b01 - b10 - n * low
    if variance <= 0:
        return math.copysign(math.inf, gap) if gap else 0.0
    return gap / math.sqrt(variance)


def _lower(b10: int, b01: int, n: int, bound: float) -> float:
    """Where z falls to the bound; z falls as L rises, from L = −1 to the estimate, where it is 0.
    The lower end of the halved bracket is returned, which errs against the candidate."""
    low, high = -1.0, (b01 - b10) / n
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _z(b10, b01, n, middle) > bound:
            low = middle
        else:
            high = middle
    return low
