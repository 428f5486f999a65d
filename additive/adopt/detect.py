"""Which grader questions are made for, by what every one of their rows has.

All rows decide, not the first: one answer that is no number makes the whole file text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from additive.graders.literal import is_value
from additive.graders.plain_numbers import whole_number

_SIDES = ("refuse", "comply")


def detect_grader(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The grader's name, and what it was chosen by.

    >>> detect_grader([{"answer": 19}, {"answer": "1,200"}])
    ('numeric', 'every answer is a number')
    """
    answers = [row.get("answer") for row in rows]
    named = {str(row.get("grader")) for row in rows}
    if len(named) == 1 and named != {"None"}:
        return named.pop(), "every row names it"
    if all(row.get("side") in _SIDES for row in rows):
        return "refusal", "every row has a side, refuse or comply"
    if all(isinstance(row.get("choices"), list) for row in rows):
        return "choice", "every row has choices"
    if all(isinstance(row.get("tests"), list) for row in rows):
        return "code", "every row has tests"
    if all(map(_is_number, answers)):
        return "numeric", "every answer is a number"
    if all(isinstance(answer, list) or is_value(answer) for answer in answers):
        return "literal", "every answer is a Python value"
    return "exact", "the answers are text"


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return whole_number(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)
