r"""exact and choice: the answer as it is, and the answer as one of some options.

    {"id": "1", "prompt": "Capital of France?", "grader": "exact", "answer": "Paris"}
    {"id": "2", "prompt": "… A) 3 B) 4", "grader": "choice", "choices": ["3", "4"], "answer": 1}

exact ignores case, spaces and a final period; `answers` may list several. choice finds the letter
of an option (A, B, …) or the option's text, as models write them ("Answer: (B)", "**B**", "the
correct answer is option B"); an answer that names several options names none. The log-likelihood
form of it needs no grader, since there the model itself picks an index.

format: does the answer have the form that was asked for?

    {"id": "5", "prompt": "…", "grader": "format", "format": {"json": true, "max_words": 50}}
    {"id": "6", "prompt": "…", "grader": "format", "format": {"matches": "\\d{4}-\\d\\d-\\d\\d"}}

All checks of an item must hold: json, matches (a regular expression for the whole answer), contains
and lacks (lists of texts), starts, ends, lines, min_words, max_words, lower, upper.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from additive.errors import IntegrityError, UnknownName
from additive.graders.grade import Grade, Item

EXACT_VERSION = "exact/1"


CHOICE_VERSION = "choice/2"


_MARKUP = re.compile(r"[*`$]|(?<!\w)_+|_+(?!\w)|\\(?:text|mathrm|textbf|boxed|fbox)\s*(?=\{)|[{}]")


# A letter that stands for an option: no part of a word, and no article before one.
_ONE = r"\(?(?P<letter>[A-Za-z])\)?(?![\w'’])"


_MARKED = re.compile(
    r"(?:\b(?:answer|option|choice)\b"
    r"(?:\s+(?:to\b[^\n.:]{0,60}?\b)?(?:is|would be|must be|should be))?\s*[:=–-]?"
    r"|\b(?:must|should|would|has to) be"
    r"|\bI(?:'d| would| will|'ll)?\s+(?:choose|pick|select|say|go with))"
    rf"\s*(?:(?:the\s+)?(?:correct\s+)?(?:option|choice|answer|letter)\s*:?\s*)?{_ONE}",
    re.IGNORECASE,
)


_CONFIRMED = re.compile(rf"(?<!\w){_ONE}\s+is\s+(?:the\s+)?(?:correct|right|best)\b")


_LEADING = re.compile(r"^\s*\(?(?P<letter>[A-Z])(?:[).:]|\s*$)", re.MULTILINE)


_ALONE = re.compile(r"\(?(?P<letter>[A-Za-z])[).:]{0,2}")


_ARTICLE = re.compile(r"\s+[a-z]")


_NEGATED = re.compile(r"(?:\bnot|n't|\bnever|\bneither|\bnor|\bno)\s+(?:\w+\s+){0,2}$")


def normalised(text: str) -> str:
    """The text without case, with single spaces, and without the final period.

    >>> normalised("  The\\n Answer. ")
    'the answer'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".").rstrip()


def grade_exact(item: Item, answer: str) -> Grade:
    """Right when the whole answer is the expected one.

    Raises: IntegrityError when the item has no answer.
    """
    given = normalised(answer)
    accepted = [normalised(str(value)) for value in _accepted(item)]
    return Grade(float(given in accepted), bool(given), answer.strip())


def grade_choice(item: Item, answer: str) -> Grade:
    """Right when the answer names the option at index `answer`.

    Raises: IntegrityError when the item has no options, or the index is none of theirs.
    """
    options = choices(item)
    picked = _picked(options, answer)
    if picked is None:
        return Grade(0.0, False)
    return Grade(float(picked == item["answer"]), True, options[picked])


def choices(item: Item) -> list[str]:
    """The options of an item whose `answer` is an index into them.

    Raises: IntegrityError when they are not.
    """
    options, answer = item.get("choices"), item.get("answer")
    where = f"item {item.get('id')!r}"
    if not isinstance(options, Sequence) or isinstance(options, str) or len(options) < 2:
        raise IntegrityError(
            f"choices is {options!r}; expected a list of at least two", where=where
        )
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(options):
        raise IntegrityError(
            f"answer is {answer!r}; expected an index of choices, 0 to {len(options) - 1}",
            where=where,
        )
    return [str(option) for option in options]


def _picked(options: Sequence[str], answer: str) -> int | None:
    """The index of the option that an answer names; None where it names none, or several.

    In this order: the answer is one option's text; the last letter with a mark ("the answer is B",
    "B is correct", "it must be B"); a last line that is a letter; the one letter that lines begin
    with ("B) Paris"); the one option whose text occurs.
    """
    text = _MARKUP.sub("", answer).strip()
    given = normalised(text)
    whole = [place for place, option in enumerate(options) if normalised(option) == given]
    if len(whole) == 1:
        return whole[0]
    known = ascii_uppercase[: len(options)]
    marked = [*_MARKED.finditer(text), *_CONFIRMED.finditer(text)]
    for match in sorted(marked, key=lambda match: match.start("letter"), reverse=True):
        if _is_letter(text, match, known):
            return known.index(match["letter"].upper())
    last = _ALONE.fullmatch(text.splitlines()[-1].strip()) if text else None
    if last and last["letter"].upper() in known:
        return known.index(last["letter"].upper())
    leading = {match["letter"] for match in _LEADING.finditer(text)} & set(known)
    if len(leading) == 1:
        return known.index(leading.pop())
    return None if leading else _named(options, given)


def _is_letter(text: str, match: re.Match[str], known: str) -> bool:
    """Whether a match is the letter of an option; "a good guess" has an article."""
    letter, end = match["letter"], match.end()
    article = letter == "a" and bool(_ARTICLE.match(text, end))
    closed = letter.isupper() or text[end - 1] == ")" or not text[end : end + 1].strip()
    return letter.upper() in known and closed and not article


def _named(options: Sequence[str], given: str) -> int | None:
    """The one option that a text names in whole words, outside of a negation."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for place, option in enumerate(options):
        words = re.compile(rf"(?<!\w){re.escape(normalised(option))}(?!\w)")
        spans[place] = [
            match.span()
            for match in words.finditer(given)
            if match[0] and not _NEGATED.search(given, 0, match.start())
        ]
    found = [place for place, own in spans.items() if _outermost(own, place, spans)]
    return found[0] if len(found) == 1 else None


def _outermost(
    own: Sequence[tuple[int, int]], place: int, spans: Mapping[int, Sequence[tuple[int, int]]]
) -> bool:
    """Whether an option occurs other than inside of a longer one ("Paris" in "Paris, Texas")."""
    longer = [span for other, found in spans.items() if other != place for span in found]
    return any(
        not any(
            start <= begin and end <= stop and (start, stop) != (begin, end)
            for start, stop in longer
        )
        for begin, end in own
    )


def _accepted(item: Item) -> Sequence[Any]:
    if isinstance(item.get("answers"), Sequence) and not isinstance(item["answers"], str):
        return item["answers"]
    if item.get("answer") is None:
        raise IntegrityError(
            "answer is missing; the grader exact needs one", where=f"item {item.get('id')!r}"
        )
    return [item["answer"]]


FORMAT_VERSION = "format/1"


_MOST_CHARACTERS = 20_000


def grade_format(item: Item, answer: str) -> Grade:
    """Right when every check of the item's `format` holds.

    Raises: IntegrityError when `format` is no object or a check has a wrong value; UnknownName for
    a check that does not exist.
    """
    asked, where = item.get("format"), f"item {item.get('id')!r}"
    if not isinstance(asked, Mapping) or not asked:
        raise IntegrityError(f"format is {asked!r}; expected an object of checks", where=where)
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
