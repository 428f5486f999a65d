"""Texts as overlap compares them: without case, spacing and sentence punctuation.

Signs of arithmetic and code stay: `12+5` and `12-5` are different questions. Equality looks at
words, numbers and signs one by one (`2+2` is `2 + 2`); runs of words count what stands between
spaces as one word, as the published 8- and 13-gram rules do: a line of code is no long text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s.,;:!?\"'`´‘’“”„…–—]|_")


_NUMBER = re.compile(r"\d+(?:\.\d+)?")


_SENTENCE = ".,;:!?\"'`´‘’“”„…–—"


_ASCII_SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f "


_DROPPED = dict.fromkeys(map(ord, _SENTENCE + _ASCII_SPACES))


_ROLE_KEYS = frozenset({"role", "from", "id", "source", "licence", "license"})


def tokens_of(text: str) -> list[str]:
    """The words, numbers and signs of a text.

    >>> tokens_of("Tom's 1,000 apples: 12+5 = ?")
    ['tom', 's', '1000', 'apples', '12', '+', '5', '=']
    """
    found = _TOKEN.findall(_folded(text))
    return [token.replace(",", "") if "," in token else token for token in found]


def normalise(text: str) -> str:
    """The text as one line of tokens; equal for texts that differ in case, spacing or punctuation.

    >>> normalise("How many  are LEFT?") == normalise("how many are left")
    True
    """
    return " ".join(tokens_of(text))


def squeezed(text: str) -> str:
    """A text without spaces and punctuation, many times cheaper than its normal form.

    Texts with the same normal form have it in common (a test holds it), so only those that share
    it need be normalised.

    >>> squeezed("Is 1 + 12 = 13?")
    'is1+12=13'
    """
    kept = _folded(text).translate(_DROPPED)
    return kept if kept.isascii() else "".join(kept.split())


def words_of(text: str) -> list[str]:
    """What stands between the spaces of a text, without case and sentence punctuation around it.

    >>> words_of("What does f([3, 2]) return?")
    ['what', 'does', 'f([3', '2])', 'return']
    """
    return [word for word in map(bare, text.split()) if word]


def bare(written: str) -> str:
    """A word without case and the punctuation around it; empty when it is nothing else."""
    return written.casefold().strip(_SENTENCE)


def numbers_of(text: str) -> Counter[str]:
    """How often each number occurs in a text."""
    return Counter(_NUMBER.findall(text))


def row_texts(fields: Mapping[str, Any]) -> list[str]:
    """The texts of a training row in any format: each string in it, and question with context.

    >>> row_texts({"instruction": "Add.", "input": "1 2", "output": "3"})
    ['Add.', '1 2', '3', 'Add. 1 2']
    """
    texts = _strings(fields)
    parts = [fields.get(key) for key in ("instruction", "input")]
    if all(isinstance(part, str) and part for part in parts):
        texts.append(" ".join(str(part) for part in parts))
    return texts


def item_text(fields: Mapping[str, Any]) -> str:
    """What a held-out item asks: its prompt, as text or as messages."""
    prompt = fields.get("prompt", "")
    return prompt if isinstance(prompt, str) else " ".join(_strings(prompt))


def _folded(text: str) -> str:
    folded = text.casefold()
    return folded if folded.isascii() else unicodedata.normalize("NFKC", folded).casefold()


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        inner = [part for key, part in value.items() if key not in _ROLE_KEYS]
    else:
        inner = value if isinstance(value, list | tuple) else []
    return [text for part in inner for text in _strings(part)]
