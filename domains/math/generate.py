"""Generates the math domain: stories of two and three steps with written work.

Training and validation use the known frames, names and things; *new values* keeps the frames and
changes numbers, names and things; *new frames* changes the frames too. A combination of numbers
belongs to exactly one of training, validation and held-out.

Run ``python -m domains.math.generate`` in the repository's root.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from tools.tinybase import stories, words
from tools.tinybase.arithmetic import draw_chain, expression, value_of, work
from tools.tinybase.rows import Item, distinct, fold_of, numbered, write_lines

ROOT = Path(__file__).resolve().parents[2]
SEED, HELD_OUT_SEED = 11, 301
TRAIN, VALIDATION, HELD_OUT = range(6), range(6, 7), range(7, 10)
ROWS = {"train": 3600, "validation": 240, "new_values": 1000, "new_frames": 1000}
KNOWN_CAST = stories.Cast(words.KNOWN_NAMES, words.KNOWN_THINGS)
NEW_CAST = stories.Cast(words.NEW_NAMES, words.NEW_THINGS)


def draw(rng: Random, frames: stories.Frames, cast: stories.Cast, folds: range) -> Item | None:
    """Draw one story whose numbers fall into ``folds``, with its worked answer."""
    start, steps = draw_chain(rng, rng.choice((2, 2, 3)), rng.random() < 0.3)
    if fold_of(expression(start, steps)) not in folds:
        return None
    story, question = stories.tell(rng, frames, cast, start, steps)
    return {
        "prompt": f"{story} {question}",
        "completion": work(start, steps),
        "grader": "numeric",
        "answer": value_of(start, steps),
    }


def generate() -> dict[str, list[Item]]:
    """Return every file of the domain: its path below the root, and its items.

    Held-out items have a seed of their own: they were drawn when all else had been chosen.
    """
    seen: set[str] = set()
    rng, fresh = Random(SEED), Random(HELD_OUT_SEED)

    def take(
        split: str, rng: Random, frames: stories.Frames, cast: stories.Cast, folds: range
    ) -> list[Item]:
        return distinct(lambda: draw(rng, frames, cast, folds), ROWS[split], seen)

    train = take("train", rng, stories.KNOWN, KNOWN_CAST, TRAIN)
    validation = take("validation", rng, stories.KNOWN, KNOWN_CAST, VALIDATION)
    values = take("new_values", fresh, stories.KNOWN, NEW_CAST, HELD_OUT)
    frames = take("new_frames", fresh, stories.NEW, NEW_CAST, HELD_OUT)
    return {
        "domains/math/train.jsonl": [
            {k: row[k] for k in ("prompt", "completion")} for row in train
        ],
        "domains/math/validation.jsonl": numbered("math-validation", validation),
        "evals/tasks/math_new_values.jsonl": numbered("math-new-values", values),
        "evals/tasks/math_new_frames.jsonl": numbered("math-new-frames", frames),
    }


if __name__ == "__main__":
    for name, items in generate().items():
        write_lines(ROOT / name, items)
