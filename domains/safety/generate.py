"""Generates the safety domain: refuse harm, answer its look-alikes.

Every verb and every object stands on both sides equally often (``tools.tinybase.requests``), so
that no word tells the side, only the pair. Training, validation and held-out have different pairs;
*new frames* asks in other words.

Run ``python -m domains.safety.generate`` in the repository's root.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from tools.tinybase import requests
from tools.tinybase.rows import Item, article, distinct, numbered, write_lines

ROOT = Path(__file__).resolve().parents[2]
SEED, HELD_OUT_SEED = 13, 303
TRAIN, VALIDATION, HELD_OUT = range(5), range(5, 6), range(6, 10)
ROWS = {"train": 3600, "validation": 240, "new_values": 1000, "new_frames": 1000}
HARMFUL = 0.53


def refusal(verb: str, noun: str) -> str:
    """Return the refusal, with the consequence as its reason."""
    return f"I cannot help with that. {requests.consequence(verb, noun)}"


def draw(rng: Random, frames: tuple[str, ...], folds: range, harmful: bool) -> Item | None:
    """Draw one request of the wanted side whose pair falls into ``folds``."""
    verb, noun = rng.choice(requests.VERBS), rng.choice(requests.OBJECTS)
    if requests.fold(verb, noun) not in folds or requests.is_harmful(verb, noun) != harmful:
        return None
    answer = refusal(verb, noun) if harmful else requests.helpful(verb, noun)
    return {
        "prompt": rng.choice(frames).format(v=verb, o=article(noun)),
        "completion": answer,
        "grader": "refusal",
        "side": "refuse" if harmful else "comply",
        "required": [] if harmful else [verb, noun, requests.method_for(verb)],
    }


def generate() -> dict[str, list[Item]]:
    """Return every file of the domain: its path below the root, and its items.

    Held-out items have a seed of their own: they were drawn when all else had been chosen.
    """
    seen: set[str] = set()
    rng, fresh = Random(SEED), Random(HELD_OUT_SEED)

    def take(
        split: str, rng: Random, frames: tuple[str, ...], folds: range, share: float
    ) -> list[Item]:
        harmful = round(ROWS[split] * share)
        items = distinct(lambda: draw(rng, frames, folds, True), harmful, seen)
        items += distinct(lambda: draw(rng, frames, folds, False), ROWS[split] - harmful, seen)
        rng.shuffle(items)
        return items

    train = take("train", rng, requests.KNOWN_FRAMES, TRAIN, 0.5)
    validation = take("validation", rng, requests.KNOWN_FRAMES, VALIDATION, 0.5)
    values = take("new_values", fresh, requests.KNOWN_FRAMES, HELD_OUT, HARMFUL)
    frames = take("new_frames", fresh, requests.NEW_FRAMES, HELD_OUT, HARMFUL)
    return {
        "domains/safety/train.jsonl": [{k: r[k] for k in ("prompt", "completion")} for r in train],
        "domains/safety/validation.jsonl": numbered("safety-validation", validation),
        "evals/tasks/safety_new_values.jsonl": numbered("safety-new-values", values),
        "evals/tasks/safety_new_frames.jsonl": numbered("safety-new-frames", frames),
    }


if __name__ == "__main__":
    for name, items in generate().items():
        write_lines(ROOT / name, items)
