"""The recall file: substrate rows that keep a specialist's delta quiet away from its domain."""

from __future__ import annotations

from random import Random

from additive.tinybase.mixture import draw
from additive.tinybase.requests import OBJECTS, VERBS, is_harmful
from additive.tinybase.rows import Row
from additive.tinybase.splits import Item, distinct, fold_of

SEED = 21
ROWS = 4000
GENERAL = ("fact", "tale")
UNFINISHED = ("story start", "call start", "define start", "story go on", "call go on")


def _request_pair(row: Row) -> tuple[str, str]:
    told = row.completion.removeprefix("To ").split(",")[0].split()
    return told[0], told[-1]


def is_for_recall(row: Row) -> bool:
    """Tell whether the row may be recalled.

    Left out: harmful requests, what the guard suite asks, and work that the base leaves unfinished
    (the habits that specialists are to change).
    """
    if row.kind in UNFINISHED:
        return False
    if row.kind == "request":
        verb, noun = _request_pair(row)
        return not (verb in VERBS and noun in OBJECTS and is_harmful(verb, noun))
    return bool(row.prompt) and not (row.kind in GENERAL and fold_of(row.prompt) < 6)


def recall_items(seed: int = SEED, count: int = ROWS) -> list[Item]:
    """Return recall rows, distinct by prompt; another seed gives others of the same kinds."""
    rng = Random(seed)

    def one() -> Item | None:
        row = draw(rng)
        if not is_for_recall(row):
            return None
        return {"prompt": row.prompt, "completion": row.completion, "kind": row.kind}

    return distinct(one, count, set())
