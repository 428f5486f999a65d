"""The pre-training mixture: which grammar is drawn how often."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from additive.tinybase import arithmetic, general, pythonic, requests, stories
from additive.tinybase.rows import Grammar, Row

MIXTURE: tuple[tuple[float, Grammar], ...] = (
    (0.12, arithmetic.bare),
    (0.08, arithmetic.chain),
    (0.01, arithmetic.compare),
    (0.08, stories.one_step),
    (0.04, stories.first_step),
    (0.04, stories.go_on),
    (0.06, stories.reading),
    (0.07, pythonic.single),
    (0.10, pythonic.bare_chain),
    (0.05, pythonic.call),
    (0.03, pythonic.call_start),
    (0.03, pythonic.go_on),
    (0.04, pythonic.expand),
    (0.02, pythonic.define),
    (0.01, pythonic.define_start),
    (0.02, pythonic.translate),
    (0.04, requests.request),
    (0.05, requests.outcome),
    (0.07, general.fact),
    (0.03, general.tale),
    (0.01, general.prose),
)


def draw(rng: Random) -> Row:
    """Draw one row of the mixture."""
    weights, grammars = zip(*MIXTURE, strict=True)
    return rng.choices(grammars, weights)[0](rng)


def stream(seed: int) -> Iterator[Row]:
    """Yield rows without end, the same ones for the same seed."""
    rng = Random(seed)
    while True:
        yield draw(rng)
