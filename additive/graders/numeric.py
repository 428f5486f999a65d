r"""numeric: the last number of the answer, by value.

    {"id": "7", "prompt": "…", "grader": "numeric", "answer": 33}
    {"id": "8", "prompt": "…", "grader": "numeric", "answer": 3.14, "tolerance": 0.005}
    {"id": "9", "prompt": "…", "grader": "numeric", "answer": "\\frac{\\sqrt{3}}{2}"}

Numbers are compared exactly as fractions, so 0.50, 1/2 and \boxed{\frac{1}{2}} are one value; an
absolute `tolerance` may be given. Only when one side is no plain number does math-verify decide
(see `symbolic`).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from additive.errors import IntegrityError
from additive.graders.grade import Grade, Item
from additive.graders.plain_numbers import boxed, last_number, whole_number

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
            f"answer is {expected!r} when it should be a number or text",
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
            f"tolerance is {given!r} when it should be a number of at least 0",
            where=f"item {item.get('id')!r}",
        )
    return Fraction(str(given))
