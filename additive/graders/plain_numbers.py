"""Numbers in text, by exact value: "1,234.50", "−3/4", "\\\\frac{1}{2}", "\\\\boxed{42}", "$18".

>>> last_number("17+25=42; 42-9=33")
Fraction(33, 1)
>>> last_number("between 3-5, so x = -2.50")
Fraction(-5, 2)
"""

from __future__ import annotations

import re
from fractions import Fraction

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w.)\]}}])[-+])?(?P<value>(?<![A-Za-z_.\d]){_DIGITS})"
    r"(?P<power>[eE][-+]?\d{1,3}(?!\d))?(?:/(?P<over>\d+(?!\.?\d)))?"
)
_LOOSE_SIGN = re.compile(r"(?<==)\s*([-+])\s+(?=[\d.])")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(-?\d+)\s*\}")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_MOST_DIGITS = 400


def last_number(text: str) -> Fraction | None:
    """The last number of a text; None when there is none."""
    values = [_value(match) for match in _NUMBER.finditer(plain(text))]
    return next((value for value in reversed(values) if value is not None), None)


def whole_number(text: str) -> Fraction | None:
    """The number that the whole text is, apart from units of money and spaces; else None.

    >>> whole_number("$1,200"), whole_number("3 apples")
    (Fraction(1200, 1), None)
    """
    match = _NUMBER.fullmatch(plain(text).strip().rstrip("."))
    return _value(match) if match else None


def plain(text: str) -> str:
    """The text with ASCII signs, without currency, and with LaTeX fractions as a/b."""
    text = text.replace("−", "-").replace("–", "-").replace("\\$", "").replace("$", "")
    text = text.replace("\\!", "").replace("{,}", ",").replace("\\%", "").replace("%", "")
    return _LOOSE_SIGN.sub(r"\1", _FRACTION.sub(r"\1/\2", text))


def boxed(text: str) -> str | None:
    r"""The content of the last \boxed{…}, braces balanced; None when there is none."""
    starts = [match.end() for match in _BOX.finditer(text)]
    if not starts:
        return None
    depth, begin = 1, starts[-1]
    for place in range(begin, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[begin:place]
    return text[begin:]


def _value(match: re.Match[str]) -> Fraction | None:
    digits = match["value"].replace(",", "")
    if len(digits) > _MOST_DIGITS or (match["over"] and len(match["over"]) > _MOST_DIGITS):
        return None
    value = Fraction(digits + (match["power"] or ""))
    if match["over"]:
        if not int(match["over"]):
            return None
        value /= int(match["over"])
    return -value if match["sign"] == "-" else value
