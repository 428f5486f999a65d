"""The pre-training mixture: how often each grammar is drawn; and the recall file, rows of it.

The training of a domain mixes the recall file in, so that the adapter has little effect outside its
domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tools.tinybase import arithmetic, general, pythonic, requests, stories
from tools.tinybase.requests import OBJECTS, VERBS, is_harmful
from tools.tinybase.rows import Grammar, Item, Row, distinct, fold_of

# grammar, share in the first stage, share afterwards: what is hard to hold is drawn more often then
MIXTURE: tuple[tuple[Grammar, float, float], ...] = (
    (arithmetic.bare, 0.12, 0.16),
    (arithmetic.chain, 0.08, 0.08),
    (arithmetic.compare, 0.01, 0.01),
    (stories.one_step, 0.08, 0.06),
    (stories.first_step, 0.04, 0.03),
    (stories.go_on, 0.04, 0.03),
    (stories.reading, 0.06, 0.05),
    (pythonic.single, 0.07, 0.08),
    (pythonic.bare_chain, 0.10, 0.12),
    (pythonic.call, 0.05, 0.04),
    (pythonic.call_start, 0.03, 0.03),
    (pythonic.go_on, 0.03, 0.03),
    (pythonic.expand, 0.04, 0.03),
    (pythonic.define, 0.02, 0.015),
    (pythonic.define_start, 0.01, 0.01),
    (pythonic.translate, 0.02, 0.015),
    (requests.request, 0.04, 0.03),
    (requests.outcome, 0.05, 0.07),
    (general.fact, 0.07, 0.08),
    (general.tale, 0.03, 0.03),
    (general.prose, 0.01, 0.01),
)
FIRST_STAGE = 2500


def draw(rng: Random, stage: int = 1) -> Row:
    """Draw one row of the mixture of stage 1 or 2."""
    grammars, *shares = zip(*MIXTURE, strict=True)
    return rng.choices(grammars, shares[stage - 1])[0](rng)


def stream(seed: int, stage: int = 1) -> Iterator[Row]:
    """Yield rows without end, the same ones for the same seed."""
    rng = Random(seed)
    while True:
        yield draw(rng, stage)


RECALL_SEED = 21
RECALL_ROWS = 4000
GENERAL = ("fact", "tale")
UNFINISHED = ("story start", "call start", "define start", "story go on", "call go on")


def _request_pair(row: Row) -> tuple[str, str]:
    words = row.completion.removeprefix("To ").split(",")[0].split()
    return words[0], words[-1]


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


def recall_items(seed: int = RECALL_SEED, count: int = RECALL_ROWS) -> list[Item]:
    """Return recall rows, distinct by prompt; another seed gives others of the same kinds."""
    rng = Random(seed)

    def one() -> Item | None:
        row = draw(rng)
        if not is_for_recall(row):
            return None
        return {"prompt": row.prompt, "completion": row.completion, "kind": row.kind}

    return distinct(one, count, set())
