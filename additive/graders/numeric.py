r"""numeric: the last number of the answer, by value.

    {"id": "7", "prompt": "…", "grader": "numeric", "answer": 33}
    {"id": "8", "prompt": "…", "grader": "numeric", "answer": 3.14, "tolerance": 0.005}
    {"id": "9", "prompt": "…", "grader": "numeric", "answer": "\\frac{\\sqrt{3}}{2}"}

Numbers are compared exactly as fractions, so 0.50, 1/2 and \boxed{\frac{1}{2}} are one value; an
absolute `tolerance` may be given. Only when one side is no plain number does math-verify decide
(see `symbolic`).

Numbers in text, by exact value: "1,234.50", "−3/4", "\\frac{1}{2}", "\\boxed{42}", "$18".

>>> last_number("17+25=42; 42-9=33")
Fraction(33, 1)
>>> last_number("between 3-5, so x = -2.50")
Fraction(-5, 2)
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from additive.errors import IntegrityError
from additive.graders.grade import Grade, Item

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


VERSION = "numeric/1"


def grade_numeric(item: Item, answer: str) -> Grade | tuple[str, str]:
    """The grade, or the pair (expected, given) when math-verify has to decide.

    Raises: IntegrityError when the item's answer is neither number nor text.
    """
    expected = item.get("answer")
    target = target_number(item)
    box = boxed(answer)
    value = last_number(answer) if box is None else whole_number(box)
    if target is not None and (value is not None or box is None):
        right = value is not None and abs(value - target) <= _tolerance(item)
        return Grade(float(right), value is not None, "" if value is None else show(value))
    given = box if box is not None else answer.strip()
    if not given:
        return Grade(0.0, False)
    if "".join(given.split()) == "".join(str(expected).split()):
        return Grade(1.0, True, given)
    return str(expected), given


def target_number(item: Item) -> Fraction | None:
    """The item's answer as a number; None when it is a symbolic expression.

    Raises: IntegrityError when it is neither number nor text.
    """
    expected: Any = item.get("answer")
    if isinstance(expected, bool) or not isinstance(expected, int | float | str):
        raise IntegrityError(
            f"answer is {expected!r}; expected a number or text",
            where=f"item {item.get('id')!r}",
        )
    return whole_number(str(expected)) if isinstance(expected, str) else Fraction(str(expected))


def show(value: Fraction) -> str:
    """A fraction as a person writes it: 33, 0.5, 1/3.

    >>> show(Fraction(1, 2)), show(Fraction(1, 3))
    ('0.5', '1/3')
    """
    if value.denominator == 1:
        return str(value.numerator)
    as_float = float(value)
    return repr(as_float) if Fraction(repr(as_float)) == value else str(value)


def _tolerance(item: Item) -> Fraction:
    given = item.get("tolerance", 0)
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        raise IntegrityError(
            f"tolerance is {given!r}; expected a number of at least 0",
            where=f"item {item.get('id')!r}",
        )
    return Fraction(str(given))
