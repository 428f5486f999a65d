"""Ranges of method parameters, checked when a method is built."""

from __future__ import annotations

from additive.errors import UsageError

SMALLEST_SHARE = 2.0**-24


def check_fraction(method: str, name: str, value: float) -> None:
    """Refuse anything outside (0, 1].

    Raises: UsageError.
    """
    if not 0.0 < value <= 1.0:
        hint = f"; did you mean {value / 100:g}?" if 1.0 < value <= 100.0 else ""
        raise UsageError(f"{name} of {method} is {value:g} when it should be in (0, 1]{hint}")


def check_share(method: str, name: str, value: float) -> None:
    """Refuse a random share outside (0, 1], and one that numbers of 24 bits cannot draw: kept more
    often than it says, its elements would be divided by too little.

    Raises: UsageError.
    """
    check_fraction(method, name, value)
    check_at_least(method, name, value, SMALLEST_SHARE)


def check_at_least(method: str, name: str, value: float, least: float) -> None:
    """Refuse anything below `least`, and NaN.

    Raises: UsageError.
    """
    if not value >= least:
        raise UsageError(f"{name} of {method} is {value:g} when it should be at least {least:g}")
