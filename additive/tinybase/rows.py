"""The row that every grammar yields: one chat turn and what kind of knowledge it shows."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt with its completion; ``kind`` names the grammar that made it."""

    kind: str
    prompt: str
    completion: str


class Grammar(Protocol):
    """A function that draws one row; all randomness comes from ``rng``."""

    def __call__(self, rng: Random) -> Row: ...


# how a row says that work is pending, and how a conversation asks for the next step
PENDING = "; ..."
PENDING_CODE = " # ..."
GO_ON = "Go on."


def conversation(first: str, *turns: str) -> str:
    """Return the text of several turns as the prompt of one row: user, assistant, user, ..."""
    text = first
    for i, turn in enumerate(turns):
        text += f"<|end|><|user|>{turn}" if i % 2 else f"<|assistant|>{turn}"
    return text


def sentence(text: str) -> str:
    """Return ``text`` with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def article(noun: str) -> str:
    """Return the noun with its indefinite article: ``a dog``, ``an apple``."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
