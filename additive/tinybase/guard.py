"""The guard suite: cloze on general text, scored by the likelihood of each choice."""

from __future__ import annotations

from random import Random

from additive.tinybase import general
from additive.tinybase.splits import Item, distinct, fold_of, numbered

SEED = 22
ROWS = {"fact": 500, "tale": 700}


def _choices(rng: Random, wanted: str, wrong: list[str]) -> tuple[list[str], int]:
    choices = [wanted, *rng.sample(wrong, min(len(wrong), rng.choice((1, 2, 3))))]
    rng.shuffle(choices)
    return choices, choices.index(wanted)


def _fact(rng: Random) -> Item | None:
    relation, prompt, wanted = rng.choice(general.FACTS)
    right = {c for _, p, c in general.FACTS if p == prompt}
    wrong = sorted({c for r, _, c in general.FACTS if r == relation} - right)
    return _item(rng, prompt, wanted, wrong)


def _tale(rng: Random) -> Item | None:
    prompt, wanted, wrong = general.recount(rng)
    return _item(rng, prompt, wanted, list(wrong))


def _item(rng: Random, prompt: str, wanted: str, wrong: list[str]) -> Item | None:
    if fold_of(prompt) >= 6:
        return None
    choices, answer = _choices(rng, wanted, wrong)
    return {"prompt": prompt, "grader": "choice", "choices": choices, "answer": answer}


def guard_items() -> list[Item]:
    """Return the items of the suite; their prompts are in no domain and in no recall row."""
    rng = Random(SEED)
    seen: set[str] = set()
    items = distinct(lambda: _fact(rng), ROWS["fact"], seen)
    items += distinct(lambda: _tale(rng), ROWS["tale"], seen)
    return numbered("general-cloze", items)
