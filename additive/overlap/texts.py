"""Texts as overlap compares them: without case, spacing and sentence punctuation.

Signs of arithmetic and code stay: `12+5` and `12-5` are different questions. Equality looks at
words, numbers and signs one by one (`2+2` is `2 + 2`); runs of words count what stands between
spaces as one word, as the published 8- and 13-gram rules do: a line of code is no long text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s.,;:!?\"'`´‘’“”„…–—]|_")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SENTENCE = ".,;:!?\"'`´‘’“”„…–—"
_ROLE_KEYS = frozenset({"role", "from", "id", "source", "licence", "license"})


def tokens_of(text: str) -> list[str]:
    """The words, numbers and signs of a text.

    >>> tokens_of("Tom's 1,000 apples: 12+5 = ?")
    ['tom', 's', '1000', 'apples', '12', '+', '5', '=']
    """
    folded = text.casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", folded).casefold()
    found = _TOKEN.findall(folded)
    return [token.replace(",", "") if "," in token else token for token in found]


def normalise(text: str) -> str:
    """The text as one line of tokens; equal for texts that differ in case, spacing or punctuation.

    >>> normalise("How many  are LEFT?") == normalise("how many are left")
    True
    """
    return " ".join(tokens_of(text))


def words_of(text: str) -> list[str]:
    """What stands between the spaces of a text, without case and sentence punctuation around it.

    >>> words_of("What does f([3, 2]) return?")
    ['what', 'does', 'f([3', '2])', 'return']
    """
    words = (word.strip(_SENTENCE) for word in text.casefold().split())
    return [word for word in words if word]


def numbers_of(text: str) -> Counter[str]:
    """How often each number occurs in a text."""
    return Counter(_NUMBER.findall(text))


def row_texts(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts of a training row in any format: each string in it, and question with context.

    >>> row_texts({"instruction": "Add.", "input": "1 2", "output": "3"})
    ('Add.', '1 2', '3', 'Add. 1 2')
    """
    texts = tuple(_strings(fields))
    parts = [fields.get(key) for key in ("instruction", "input")]
    if all(isinstance(part, str) and part for part in parts):
        return (*texts, " ".join(str(part) for part in parts))
    return texts


def item_text(fields: Mapping[str, Any]) -> str:
    """What a held-out item asks: its prompt, as text or as messages."""
    prompt = fields.get("prompt", "")
    return prompt if isinstance(prompt, str) else " ".join(_strings(prompt))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _ROLE_KEYS:
                yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
