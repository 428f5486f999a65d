r"""numeric: the number that the answer gives, by value.

    {"id": "7", "prompt": "…", "grader": "numeric", "answer": 33}
    {"id": "8", "prompt": "…", "grader": "numeric", "answer": 3.14, "tolerance": 0.005}
    {"id": "9", "prompt": "…", "grader": "numeric", "answer": "\\frac{\\sqrt{3}}{2}"}

The number is, in this order: the last \boxed{…}; the first line that is `#### NUMBER` (GSM8K's
mark); the number after the last "answer is", "Answer:" or the like; the last number. A new question
that a base model appends (`Question: …`, `Q: …`) is cut off first.

Numbers are compared exactly as fractions, so 0.50, 1/2, ½ and \boxed{\frac{1}{2}} are one value; an
absolute `tolerance` may be given. Only when one side is no plain number does math-verify decide
(see `symbolic`).

Numbers as people and models write them: "1,234.50", "9\\,500", "1 234" with a thin space, "1'234",
"12,50", "−3/4", "3 1/2", "3½", "\\frac12", "2 \\times 10^3", "1.2 million", "$18", "£12.50".

>>> last_number("17+25=42; 42-9=33")
Fraction(33, 1)
>>> last_number("between 3-5, so x = -2.50")
Fraction(-5, 2)
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import Any

from additive.errors import IntegrityError
from additive.graders.grade import Grade, Item

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"


_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w.)\]}}])[-+])?"
    rf"(?:(?P<whole>(?<![A-Za-z_.\d/])\d{{1,9}})\s+(?=\d+/\d))?"
    rf"(?P<value>(?<![A-Za-z_.\d]){_DIGITS})"
    r"(?P<power>[eE][-+]?\d{1,3}(?!\d))?(?:/(?P<over>\d+(?!\.?\d)))?"
)


_LOOSE_SIGN = re.compile(r"(?<==)\s*([-+])\s+(?=[\d.])")


_FRACTION = re.compile(
    r"(?P<whole>\d)?\s*\\[dtc]?frac\s*(?:\{\s*(-?\d+)\s*\}|(\d))\s*(?:\{\s*(-?\d+)\s*\}|(\d))"
)


_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")


# A separator of thousands between digits: LaTeX spaces, thin and no-break spaces, apostrophes, "_".
_THOUSANDS = re.compile(r"(?<=\d)(?:\\[,;: !]|~|[\u00a0\u2009\u202f'’_])(?=\d{3}(?!\d))")


# A decimal comma: no group of three, and no member of a list or of coordinates.
_DECIMAL_COMMA = re.compile(r"(?<![\d.,(\[{])(\d+),(\d{1,2})(?![\d.]|,\d|\s*[)\]}])")


_POWER = re.compile(
    r"\s*(?:\\times|\\cdot|[×·*x])\s*10\s*(?:\^|\*\*)\s*\{?\s*([-+]?\d{1,3})\s*\}?(?!\d)"
)


_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}


_SCALE = re.compile(rf"(?<=\d)\s+({'|'.join(_SCALES)})\b", re.IGNORECASE)


_HASH_MARK = re.compile(
    r"^\s*####\s*(?:(?:final\s+)?answer\s*:?\s*)?([^\n]*?)\s*$", re.MULTILINE | re.IGNORECASE
)


_UNIT = re.compile(r"\s*[^\W\d_.:;,()-][^\d.:;,()\n-]{0,24}\.?|\s*\.?")


_ANSWER_MARK = re.compile(
    r"\banswers?\b[^\n.!?\d=:]{0,60}?(?:\bis\b|\bare\b|\bwas\b|\bequals\b|:|=)(?!\s*not\b)\s*",
    re.IGNORECASE,
)


_CLAUSE_END = re.compile(r"\n|[.!?;](?=\s|$)|\((?!\s*-?\d+(?:\.\d+)?\s*\))")


_NEXT_QUESTION = re.compile(
    r"\n\s*(?:\*\*|#+ )?(?:Question|Q|Problem|Exercise|Human|User|Instruction)\s*\d*\s*(?:\*\*)?:",
    re.IGNORECASE,
)


_MARKUP = re.compile(r"(?<!\w)(?:\*\*|__)|(?:\*\*|__)(?!\w)|`")


_MOST_DIGITS = 400


def last_number(text: str) -> Fraction | None:
    """The last number of a text; None when there is none."""
    values = [_value(match) for match in _NUMBER.finditer(plain(text))]
    return next((value for value in reversed(values) if value is not None), None)


def given_number(text: str) -> Fraction | None:
    """The number that an answer without a box gives: marked by `####`, by "answer is", or the last.

    >>> given_number("9*2=18\\n#### 18\\n(This took 2 steps.)")
    Fraction(18, 1)
    >>> given_number("**Answer: 18** (see step 3)"), given_number("The answer is not 3 but 5")
    (Fraction(18, 1), Fraction(5, 1))
    """
    text = _MARKUP.sub("", text)
    whole = whole_number(text)
    if whole is not None:
        return whole
    for match in _HASH_MARK.finditer(text):
        value = _leading_number(match[1])
        if value is not None:
            return value
    question = _NEXT_QUESTION.search(text)
    if question and _NUMBER.search(text, 0, question.start()):
        text = text[: question.start()]
    for match in reversed(list(_ANSWER_MARK.finditer(text))):
        value = _clause_number(text[match.end() :])
        if value is not None:
            return value
    return last_number(text)


def _leading_number(text: str) -> Fraction | None:
    """The number that a text consists of, a unit aside; None for a heading such as "1. First"."""
    text = plain(text).strip()
    match = _NUMBER.match(text)
    return _value(match) if match and _UNIT.fullmatch(text, match.end()) else None


def _clause_number(text: str) -> Fraction | None:
    """The number of the clause at the beginning: after its last "=", else the first one."""
    end = _CLAUSE_END.search(text, 1) if text.strip() else None
    clause = plain(text[: end.start()] if end else text)
    values = [_value(match) for match in _NUMBER.finditer(clause.rpartition("=")[2])]
    return next((value for value in values if value is not None), None)


def whole_number(text: str) -> Fraction | None:
    """The number that the whole text is, apart from units of money and spaces; else None.

    >>> whole_number("$1,200"), whole_number("3 apples"), whole_number("1 200")
    (Fraction(1200, 1), None, Fraction(1200, 1))
    """
    text = re.sub(r"(?<=\d) (?=\d{3}(?!\d|/))", "", plain(text).strip().rstrip("."))
    match = _NUMBER.fullmatch(text)
    return _value(match) if match else None


def plain(text: str) -> str:
    """The text with ASCII signs and digits, without currency, and with fractions as a/b."""
    text = text.replace("−", "-").replace("–", "-").replace("\\$", "").replace("{,}", ",")
    text = "".join(map(_ascii, text)) if not text.isascii() else text
    text = re.sub(r"\\[!%]|[$£€¥₹%]|\\text\{\s*\}", "", text)
    text = _THOUSANDS.sub("", _FRACTION.sub(_fraction, text))
    text = _DECIMAL_COMMA.sub(r"\1.\2", text)
    text = _SCALE.sub(lambda match: f"e{_SCALES[match[1].lower()]}", _POWER.sub(r"e\1", text))
    return _LOOSE_SIGN.sub(r"\1", text)


def _ascii(character: str) -> str:
    """½ as " 1/2", so that 3½ is a mixed number; other characters as they are."""
    if unicodedata.category(character) == "No" and "⁄" in unicodedata.normalize("NFKC", character):
        return " " + unicodedata.normalize("NFKC", character).replace("⁄", "/")
    if unicodedata.category(character) == "Nd":
        return str(unicodedata.digit(character))
    return character


def _fraction(match: re.Match[str]) -> str:
    over, under = match[2] or match[3], match[4] or match[5]
    return f"{match['whole']} {over}/{under}" if match["whole"] else f" {over}/{under}"


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
    if match["whole"]:
        value += int(match["whole"])
    return -value if match["sign"] == "-" else value


VERSION = "numeric/2"


def grade_numeric(item: Item, answer: str) -> Grade | tuple[str, str]:
    """The grade, or the pair (expected, given) when math-verify has to decide.

    Raises: IntegrityError when the item's answer is neither number nor text.
    """
    expected = item.get("answer")
    target = target_number(item)
    box = boxed(answer)
    value = given_number(answer) if box is None else whole_number(box)
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
