"""Generates the code domain: composed operations worked step by step, and functions to write.

Every answer comes from executing the operations. Training and validation use the known frames;
*new values* keeps them with other operations and operands; *new frames* asks in other words and
with other names.

Run ``python -m domains.code.generate`` in the repository's root.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from tools.tinybase import pythonic
from tools.tinybase.operations import (
    Operation,
    Value,
    draw_chain,
    draw_value,
    show,
    work_chain,
    write_chain,
)
from tools.tinybase.rows import (
    Item,
    apart,
    distinct,
    fold_of,
    numbered,
    read_recall,
    write_lines,
)

ROOT = Path(__file__).resolve().parents[2]
SEED, HELD_OUT_SEED = 12, 302
TRAIN, VALIDATION, HELD_OUT = range(6), range(6, 7), range(7, 10)
ROWS = {"train": 3600, "validation": 240, "new_values": 1000, "new_frames": 1000}
SPARE = 60
WRITING = 0.12
KINDS = ("list", "list", "text")
TESTS = 3
LONGEST_SUM = 3


def run_chain(chain: list[Operation], value: Value) -> Value:
    """Return the value of the chain by executing one operation after the other."""
    for operation in chain:
        value = operation.apply(value)
    return value


def within_reach(chain: list[Operation], value: Value) -> bool:
    """Tell whether the base holds every single step: the domain is about composing them.

    It is unsure of sums of four and more items, and of counting an item. Arithmetic on numbers
    is left to the math domain, and nothing is taken from a single item.
    """
    for operation in chain:
        if operation.label.startswith(".count") or operation.takes == "int":
            return False
        if not isinstance(value, int) and len(value) < 2:
            return False
        if operation.label == "sum" and isinstance(value, list) and len(value) > LONGEST_SUM:
            return False
        value = operation.apply(value)
    return True


def evaluate_item(rng: Random, frames: pythonic.Frames, folds: range) -> Item | None:
    """Draw a call or a program of two or three operations and ask for its value."""
    start = draw_value(rng, rng.choice(KINDS))
    chain = draw_chain(rng, start, rng.choice((2, 2, 3)))
    if fold_of(write_chain(chain, show(start))) not in folds or not within_reach(chain, start):
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
    start = draw_value(rng, kind)
    chain = draw_chain(rng, start, 2)
    if fold_of(write_chain(chain, "x")) not in folds or not within_reach(chain, start):
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
    """Return every file of the domain: its path below the root, and its items.

    Held-out items have a seed of their own: they were drawn when all else had been chosen.
    """
    seen: set[str] = set()
    rng, fresh = Random(SEED), Random(HELD_OUT_SEED)

    def take(split: str, rng: Random, frames: pythonic.Frames, folds: range) -> list[Item]:
        return distinct(lambda: draw(rng, frames, folds), ROWS[split] + SPARE, seen)

    train = take("train", rng, pythonic.KNOWN, TRAIN)[: ROWS["train"]]
    validation = apart(
        take("validation", rng, pythonic.KNOWN, VALIDATION), [train], ROWS["validation"]
    )
    known = [train, validation, read_recall()]
    values = apart(take("new_values", fresh, pythonic.KNOWN, HELD_OUT), known, ROWS["new_values"])
    frames = apart(take("new_frames", fresh, pythonic.NEW, HELD_OUT), known, ROWS["new_frames"])
    return {
        "domains/code/train.jsonl": [
            {k: row[k] for k in ("prompt", "completion")} for row in train
        ],
        "domains/code/validation.jsonl": numbered("code-validation", validation),
        "evals/tasks/code_new_values.jsonl": numbered("code-new-values", values),
        "evals/tasks/code_new_frames.jsonl": numbered("code-new-frames", frames),
    }


if __name__ == "__main__":
    for name, items in generate().items():
        write_lines(ROOT / name, items)
