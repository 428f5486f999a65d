"""Bytes and seconds as people read them: at least two digits and a unit."""

from __future__ import annotations

_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def size_text(bytes: float) -> str:
    """A number of bytes, in decimal units as disks are sold.

    >>> size_text(2_830_000), size_text(412), size_text(16.4e9)
    ('2.8 MB', '412 B', '16 GB')
    """
    return _text(bytes, _SIZES, "B")


def time_text(seconds: float) -> str:
    """A span of time.

    >>> time_text(42), time_text(336), time_text(9000)
    ('42 s', '5.6 min', '2.5 h')
    """
    return _text(seconds, _TIMES, "s")


def _text(value: float, units: tuple[tuple[float, str], ...], smallest: str) -> str:
    for unit, name in units:
        if value >= unit:
            count = value / unit
            return f"{count:.1f} {name}" if count < 9.95 else f"{count:.0f} {name}"
    return f"{value:.0f} {smallest}"
