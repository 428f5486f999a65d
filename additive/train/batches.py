"""Which rows every step sees: a pure function of the seed, so that step 400 can be asked for alone.

Two endless streams, the domain's rows and the recall rows, are each shuffled anew every pass. A
chunk of `CHUNK_STEPS` steps takes its rows from both in the wanted share, sorts each by length and
deals them out, so that the rows of a batch are alike in length (little padding) and every batch
has the same share of recall. The batches of a chunk come in shuffled order.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from additive.types.seeds import derive_seed

CHUNK_STEPS = 8


@dataclass(frozen=True)
class BatchPlan:
    """The rows of every step.

    `domain` and `recall` are the lengths, in tokens, of the rows; rows are numbered through, the
    domain's first. `share` is the share of recall rows in the stream, in [0, 1).
    """

    domain: tuple[int, ...]
    recall: tuple[int, ...]
    share: float
    batch: int
    seed: int

    def steps(self, start: int, stop: int) -> Iterator[tuple[int, ...]]:
        """The rows of steps start, start+1, …, stop−1; each step's rows longest first."""
        for number in range(start // CHUNK_STEPS, -(-stop // CHUNK_STEPS)):
            first = number * CHUNK_STEPS
            yield from _chunk(self, number)[max(0, start - first) : stop - first]

    def length(self, row: int) -> int:
        """The length of a row in tokens."""
        own = len(self.domain)
        return self.domain[row] if row < own else self.recall[row - own]


def _chunk(plan: BatchPlan, number: int) -> list[tuple[int, ...]]:
    size = CHUNK_STEPS * plan.batch
    start, stop = number * size, (number + 1) * size
    share = plan.share if plan.recall else 0.0
    before, after = int(start * share), int(stop * share)
    recalled = _rows(plan.seed, "recall", len(plan.recall), before, after)
    own = _rows(plan.seed, "domain", len(plan.domain), start - before, stop - after)
    hands = list(zip(_deal(own, plan.domain), _deal(recalled, plan.recall), strict=True))
    random.Random(derive_seed(plan.seed, "chunk", number)).shuffle(hands)
    offset = len(plan.domain)
    steps = [[*mine, *(row + offset for row in theirs)] for mine, theirs in hands]
    return [tuple(sorted(rows, key=lambda row: (-plan.length(row), row))) for rows in steps]


def _rows(seed: int, stream: str, count: int, start: int, stop: int) -> list[int]:
    """Positions start…stop−1 of an endless stream of shuffled passes over `count` rows."""
    return [
        _pass(seed, stream, count, place // count)[place % count] for place in range(start, stop)
    ]


@lru_cache(maxsize=8)
def _pass(seed: int, stream: str, count: int, number: int) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(derive_seed(seed, "order", stream, number)).shuffle(order)
    return tuple(order)


def _deal(rows: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """The rows in `CHUNK_STEPS` hands of sizes that differ by one at most, each alike in length."""
    ordered = sorted(rows, key=lambda row: (lengths[row], row))
    cuts = [len(ordered) * place // CHUNK_STEPS for place in range(CHUNK_STEPS + 1)]
    return [ordered[low:high] for low, high in pairwise(cuts)]
