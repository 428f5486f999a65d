"""The pre-training mixture: which grammar is drawn how often."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from additive.tinybase import arithmetic, general, pythonic, requests, stories
from additive.tinybase.rows import Grammar, Row

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
