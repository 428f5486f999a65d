"""Generates the code domain: composed operations worked step by step, and functions to write.

Every answer comes from executing the operations. Training and validation use the known frames;
*new values* keeps them with other operations and operands; *new frames* asks in other words and
with other names.

Run ``python domains/code/generate.py`` in the repository's root.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from additive.tinybase import pythonic
from additive.tinybase.operations import (
    Operation,
    Value,
    draw_chain,
    draw_value,
    show,
    work_chain,
    write_chain,
)
from additive.tinybase.splits import Item, distinct, fold_of, numbered, write_lines

ROOT = Path(__file__).resolve().parents[2]
SEED = 12
TRAIN, VALIDATION, HELD_OUT = range(0, 6), range(6, 7), range(7, 10)
ROWS = {"train": 3600, "validation": 400, "new_values": 1000, "new_frames": 1000}
WRITING = 0.12
KINDS = ("list", "list", "list", "text", "int")
TESTS = 3


def run_chain(chain: list[Operation], value: Value) -> Value:
    """Return the value of the chain by executing one operation after the other."""
    for operation in chain:
        value = operation.apply(value)
    return value


def evaluate_item(rng: Random, frames: pythonic.Frames, folds: range) -> Item | None:
    """Draw a call or a program of two or three operations and ask for its value."""
    start = draw_value(rng, rng.choice(KINDS))
    chain = draw_chain(rng, start, rng.choice((2, 2, 3)))
    if fold_of(write_chain(chain, show(start))) not in folds:
        return None
    return {
        "prompt": pythonic.ask(rng, frames, chain, start),
        "completion": work_chain(chain, start),
        "grader": "literal",
        "answer": show(run_chain(chain, start)),
    }


def write_item(rng: Random, frames: pythonic.Frames, folds: range) -> Item | None:
    """Draw a request for a function of two operations, graded by tests."""
    kind = rng.choice(KINDS)
    chain = draw_chain(rng, draw_value(rng, kind), 2)
    if fold_of(write_chain(chain, "x")) not in folds:
        return None
    function, name = rng.choice(frames.functions)
    texts = [op.known if frames is pythonic.KNOWN else op.new for op in chain]
    prompt = rng.choice(frames.requests).format(f=function, x=name, d=" and then ".join(texts))
    operands = [draw_value(rng, kind) for _ in range(TESTS)]
    return {
        "prompt": prompt,
        "completion": f"def {function}({name}): return {write_chain(chain, name)}",
        "grader": "code",
        "entry": function,
        "tests": [f"assert {function}({show(v)}) == {show(run_chain(chain, v))}" for v in operands],
    }


def draw(rng: Random, frames: pythonic.Frames, folds: range) -> Item | None:
    """Draw one item of either form."""
    form = write_item if rng.random() < WRITING else evaluate_item
    return form(rng, frames, folds)


def generate() -> dict[str, list[Item]]:
    """Return every file of the domain: its path below the root, and its items."""
    seen: set[str] = set()
    rng = Random(SEED)

    def take(split: str, frames: pythonic.Frames, folds: range) -> list[Item]:
        return distinct(lambda: draw(rng, frames, folds), ROWS[split], seen)

    train = take("train", pythonic.KNOWN, TRAIN)
    validation = take("validation", pythonic.KNOWN, VALIDATION)
    values = take("new_values", pythonic.KNOWN, HELD_OUT)
    frames = take("new_frames", pythonic.NEW, HELD_OUT)
    return {
        "domains/code/train.jsonl": [{k: row[k] for k in ("prompt", "completion")} for row in train],
        "domains/code/validation.jsonl": numbered("code-validation", validation),
        "evals/tasks/code_new_values.jsonl": numbered("code-new-values", values),
        "evals/tasks/code_new_frames.jsonl": numbered("code-new-frames", frames),
    }


if __name__ == "__main__":
    for name, items in generate().items():
        write_lines(ROOT / name, items)
