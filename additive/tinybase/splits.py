"""What the domain generators share: folds by content, distinct draws, JSON lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Item = dict[str, object]


def fold_of(content: str) -> int:
    """Return the fold 0..9 of a combination of values; it depends on the content alone."""
    return hashlib.sha256(content.encode()).digest()[0] * 10 // 256


def normalised(prompt: str) -> str:
    """Return the prompt in lower case with single spaces, as leak checks compare it."""
    return " ".join(prompt.lower().split())


def distinct(draw: Callable[[], Item | None], count: int, seen: set[str]) -> list[Item]:
    """Draw until ``count`` items with new prompts are found; ``None`` means drawn in vain."""
    found: list[Item] = []
    while len(found) < count:
        item = draw()
        if item is None or normalised(str(item["prompt"])) in seen:
            continue
        seen.add(normalised(str(item["prompt"])))
        found.append(item)
    return found


def numbered(prefix: str, items: Sequence[Item]) -> list[Item]:
    """Return the items with ids ``prefix-0001`` onwards, the id first."""
    return [{"id": f"{prefix}-{i:04}", **item} for i, item in enumerate(items, 1)]


def write_lines(path: Path, items: Sequence[Mapping[str, object]]) -> None:
    """Write one JSON object per line; the bytes depend on the items alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    path.write_text(text, encoding="utf-8", newline="\n")
