r"""format: does the answer have the form that was asked for?

    {"id": "5", "prompt": "…", "grader": "format", "format": {"json": true, "max_words": 50}}
    {"id": "6", "prompt": "…", "grader": "format", "format": {"matches": "\\d{4}-\\d\\d-\\d\\d"}}

All checks of an item must hold: json, matches (a regular expression for the whole answer), contains
and lacks (lists of texts), starts, ends, lines, min_words, max_words, lower, upper.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from additive.errors import IntegrityError, UnknownName
from additive.graders.grade import Grade, Item

VERSION = "format/1"
_MOST_CHARACTERS = 20_000


def grade_format(item: Item, answer: str) -> Grade:
    """Right when every check of the item's `format` holds.

    Raises: IntegrityError when `format` is no object or a check has a wrong value; UnknownName for
    a check that does not exist.
    """
    asked, where = item.get("format"), f"item {item.get('id')!r}"
    if not isinstance(asked, Mapping) or not asked:
        raise IntegrityError(
            f"format is {asked!r} when it should be an object of checks", where=where
        )
    text = answer.strip()[:_MOST_CHARACTERS]
    failed = [name for name, value in asked.items() if not _holds(name, value, text, where)]
    return Grade(float(not failed and bool(text)), bool(text), ", ".join(failed))


def _holds(name: str, value: Any, text: str, where: str) -> bool:
    if name not in _CHECKS:
        raise UnknownName("format check", name, _CHECKS, where=where)
    try:
        return _CHECKS[name](text, value)
    except (TypeError, re.error) as error:
        raise IntegrityError(f"{name} is {value!r}: {error}", where=where) from None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


_CHECKS: Mapping[str, Callable[[str, Any], bool]] = {
    "json": lambda text, wanted: _is_json(text) == wanted,
    "matches": lambda text, pattern: re.fullmatch(pattern, text, re.DOTALL) is not None,
    "contains": lambda text, parts: all(part in text for part in parts),
    "lacks": lambda text, parts: not any(part in text for part in parts),
    "starts": lambda text, part: text.startswith(part),
    "ends": lambda text, part: text.endswith(part),
    "lines": lambda text, count: len(text.splitlines()) == count,
    "min_words": lambda text, count: len(text.split()) >= count,
    "max_words": lambda text, count: len(text.split()) <= count,
    "lower": lambda text, wanted: (text == text.lower()) == wanted,
    "upper": lambda text, wanted: (text == text.upper()) == wanted,
}
