r"""literal: a Python value, written after the last "=" of the answer.

    {"id": "3", "prompt": "sorted([3, 1])[::-1]", "grader": "literal", "answer": "[3, 1]"}
    {"id": "4", "prompt": "…", "grader": "literal", "answer": "cat", "extract": "Answer: (\\w+)"}

Values are compared by `ast.literal_eval`, so spaces and quotes do not matter, and True is not 1;
what is no literal is compared as text. An item's `extract` is a regular expression that finds the
value instead (its first group, of its last match).
"""

from __future__ import annotations

import ast
import re
from typing import Any

from additive.errors import IntegrityError
from additive.graders.grade import Grade, Item

VERSION = "literal/1"


_MOST_CHARACTERS = 4000


_TEXT = object()


def grade_literal(item: Item, answer: str) -> Grade:
    """The grade of an answer.

    Raises: IntegrityError when the item has no answer, or `extract` is no regular expression.
    """
    if "answer" not in item:
        raise IntegrityError(
            "answer is missing; the grader literal needs one", where=f"item {item.get('id')!r}"
        )
    given = _extracted(item, answer)
    if given is None:
        return Grade(0.0, False)
    wanted = item["answer"]
    expected = literal(wanted) if isinstance(wanted, str) else wanted
    value = literal(given)
    if expected is _TEXT or value is _TEXT:
        right = " ".join(given.split()) == " ".join(str(wanted).split())
        return Grade(float(right), bool(given) and (expected is _TEXT or right), given)
    return Grade(float(same(value, expected)), True, given)


def literal(text: str) -> Any:
    """The value of a literal; the marker for plain text when it is none."""
    if len(text) > _MOST_CHARACTERS:
        return _TEXT
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return _TEXT


def is_value(answer: Any) -> bool:
    """Whether a text is written as a Python value, such as `[1, 2]` or `'ab'`.

    >>> is_value("[1, 2]"), is_value("Paris"), is_value(None)
    (True, False, False)
    """
    return isinstance(answer, str) and literal(answer) is not _TEXT


def same(left: Any, right: Any) -> bool:
    """Equal values, with truth values and numbers told apart.

    >>> same([1, 2.0], [1.0, 2]), same(True, 1), same((1,), [1])
    (True, False, False)
    """
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list | tuple) and type(left) is type(right):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def after_equals(answer: str) -> str:
    """What follows the last "=" of the last line; a literal that contains "=" is kept whole.

    >>> after_equals("a = 3; b = [1, 2]"), after_equals("x = 'p=q'"), after_equals("7")
    ('[1, 2]', "'p=q'", '7')
    """
    lines = [line for line in answer.splitlines() if line.strip()]
    if not lines:
        return ""
    parts = lines[-1].split("=")
    last = parts[-1].strip().rstrip(".;`")
    for start in reversed(range(len(parts))):
        candidate = "=".join(parts[start:]).strip().rstrip(".;`")
        if literal(candidate) is not _TEXT:
            return candidate
    return last


def _extracted(item: Item, answer: str) -> str | None:
    pattern = item.get("extract")
    if pattern is None:
        return after_equals(answer) or None
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise IntegrityError(
            f"extract is {pattern!r}; expected a regular expression ({error})",
            where=f"item {item.get('id')!r}",
        ) from None
    matches = list(compiled.finditer(answer[-_MOST_CHARACTERS:]))
    return matches[-1].group(1 if compiled.groups else 0).strip() if matches else None
