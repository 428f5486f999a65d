"""Rows of every grammar; folds by content, distinct draws and JSON lines for the files of items."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from additive.overlap.leaks import Corpus, Text, find_leaks


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


Item = dict[str, object]


def fold_of(content: str) -> int:
    """Return the fold 0..9 of a combination of values; it depends on the content alone."""
    return hashlib.sha256(content.encode()).digest()[0] * 10 // 256


def normalised(prompt: str) -> str:
    """Return the prompt in lower case with single spaces, as leak checks compare it."""
    return " ".join(prompt.lower().split())


def distinct(draw: Callable[[], Item | None], count: int, seen: set[str]) -> list[Item]:
    """Draw until ``count`` items with new prompts are there; ``None`` means drawn in vain."""
    items: list[Item] = []
    while len(items) < count:
        item = draw()
        if item is None or normalised(str(item["prompt"])) in seen:
            continue
        seen.add(normalised(str(item["prompt"])))
        items.append(item)
    return items


def numbered(prefix: str, items: Sequence[Item]) -> list[Item]:
    """Return the items with ids ``prefix-0001`` onwards, the id first."""
    return [{"id": f"{prefix}-{i:04}", **item} for i, item in enumerate(items, 1)]


def write_lines(path: Path, items: Sequence[Mapping[str, object]]) -> None:
    """Write one JSON object per line; the bytes depend on the items alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    path.write_text(text, encoding="utf-8", newline="\n")


RECALL = Path(__file__).resolve().parents[2] / "additive" / "data" / "tiny" / "recall.jsonl"


def read_recall() -> list[Item]:
    """Return the base's own rows, which are mixed into every batch of training."""
    return [json.loads(line) for line in RECALL.read_text(encoding="utf-8").splitlines()]


def apart(items: list[Item], files: list[list[Item]], count: int) -> list[Item]:
    """Return the first items, without those that share too long a run of words with a row."""
    known = [
        Corpus([Text(at, str(row["prompt"])) for at, row in enumerate(rows)]) for rows in files
    ]
    while True:
        chosen = items[:count]
        asked = Corpus([Text(str(at), str(item["prompt"])) for at, item in enumerate(chosen)])
        shared = {int(leak.item) for rows in known for leak in find_leaks(rows, asked)}
        if not shared:
            return chosen
        items = [item for at, item in enumerate(items) if at not in shared]
