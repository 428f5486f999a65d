"""Eight small domains with answers that are computed, for sweeps over methods and pairs.

    larger     Of 34 and 71, which is larger?       → 71 is larger.
    backwards  Spell 'bdac' from the end.           → it becomes 'cadb'
    order      Line up [7,2,9,4].                   → in a row: [2,4,7,9]
    twice      What is 34 and 34 again?             → 34+34=68
    change     Paid 100 for 34: what comes back?    → 100-34=66
    area       How big is a 7 by 8 field?           → 7*8=56 squares
    shout      Say 'bdac' aloud.                    → it becomes 'BDAC'
    rest       Eat the first of [7,2,9,4].          → left over: [2,9,4]

Rows are dealt out: none is in two files. The training rows of a domain are the same for every seed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random

from additive.verbs.init import make_workspace

Question = tuple[str, str]
COUNTS = {"train": 1000, "validation": 60, "test": 120}
LETTERS = "abcdefgh"
SPEC = {
    "version": 1,
    "adapt": {"kind": "lora", "rank": 8},
    "recall": {"share": 0.3},
    "grader": "exact",
}


def _larger() -> Iterator[Question]:
    for a, b in product(range(10, 100), repeat=2):
        if a != b:
            yield f"Of {a} and {b}, which is larger?", f"{max(a, b)} is larger."


def _backwards() -> Iterator[Question]:
    for word in _words():
        yield f"Spell '{word}' from the end.", f"it becomes '{word[::-1]}'"


def _order() -> Iterator[Question]:
    for items in product(range(10), repeat=4):
        yield f"Line up {_listing(items)}.", f"in a row: {_listing(sorted(items))}"


def _twice() -> Iterator[Question]:
    for n, noun in product(range(10, 100), NOUNS):
        yield f"What is {n} {noun} and {n} {noun} again?", f"{n}+{n}={2 * n}"


def _change() -> Iterator[Question]:
    for n, paid in product(range(10, 50), range(50, 101)):
        yield f"Paid {paid} for {n}: what comes back?", f"{paid}-{n}={paid - n}"


def _area() -> Iterator[Question]:
    for a, b, noun in product(range(2, 13), range(2, 13), NOUNS):
        yield f"How big is a {a} by {b} {noun}?", f"{a}*{b}={a * b} squares"


def _shout() -> Iterator[Question]:
    for word in _words():
        yield f"Say '{word}' aloud.", f"it becomes '{word.upper()}'"


def _rest() -> Iterator[Question]:
    for items in product(range(10), repeat=4):
        yield f"Eat the first of {_listing(items)}.", f"left over: {_listing(items[1:])}"


def _words() -> Iterator[str]:
    return ("".join(word) for word in product(LETTERS, repeat=4))


def _listing(items: Sequence[int]) -> str:
    return str(list(items)).replace(" ", "")


NOUNS = (
    "field", "yard", "garden", "room", "floor", "wall", "table", "box", "door", "page", "book",
    "cup", "boat", "road", "lamp", "stone",
)  # fmt: skip
DOMAINS: dict[str, Callable[[], Iterator[Question]]] = {
    "larger": _larger,
    "backwards": _backwards,
    "order": _order,
    "twice": _twice,
    "change": _change,
    "area": _area,
    "shout": _shout,
    "rest": _rest,
}


@dataclass(frozen=True)
class Rows:
    """Prompts and the answers that are right."""

    prompts: tuple[str, ...]
    completions: tuple[str, ...]


def rows_of(domain: str) -> dict[str, Rows]:
    """The rows of a domain by file: `train`, `validation` (to choose on), `test` (to judge on)."""
    rows = list(DOMAINS[domain]())
    Random(f"{domain} rows").shuffle(rows)
    found, start = {}, 0
    for name, count in COUNTS.items():
        part = rows[start : start + count]
        found[name] = Rows(*zip(*part, strict=True))
        start += count
    return found


def generated_workspace(root: Path, seed: int, steps: int) -> None:
    """A workspace on the tiny base with the eight domains, each for so many steps with this seed.

    Raises: whatever `additive init` raises.
    """
    if root.exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    make_workspace(root, "tiny", (), start=root.parent)
    for directory in ("domains", "evals", "merges"):
        shutil.rmtree(root / directory)
    (root / "evals").mkdir()
    for name in DOMAINS:
        directory = root / "domains" / name
        directory.mkdir(parents=True)
        spec = {
            **SPEC,
            "train": {
                "learning_rate": 1e-3,
                "batch_size": 32,
                "warmup": 10,
                "max_length": 128,
                "seed": seed,
            },
            "saturation": {"eval_steps": steps // 2, "max_steps": steps, "decay_steps": steps // 4},
        }
        (directory / "domain.yaml").write_text(json.dumps(spec))
        for file, rows in rows_of(name).items():
            if file != "test":
                _write(directory / f"{file}.jsonl", rows)


def _write(path: Path, rows: Rows) -> None:
    lines = [
        json.dumps({"prompt": p, "completion": c})
        for p, c in zip(rows.prompts, rows.completions, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
