"""Writes a chemistry domain: the molar mass of a formula, with written work.

Run ``python generate.py DIR``; it writes train.jsonl, validation.jsonl and held_out.jsonl there.
Formulas of the three files are disjoint. The answer is the last number of the completion.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

WEIGHTS = {"C": 12, "H": 1, "N": 14, "O": 16, "F": 19, "S": 32}
ASK = ("What is the molar mass of {f}?", "Find the mass of one mole of {f}.", "Molar mass of {f}:")
ROWS = {"train": 2400, "validation": 300, "held_out": 1000}


def draw(rng: Random) -> list[tuple[str, int]]:
    """Draw a formula of two or three elements whose parts stay in the range of the base."""
    elements = rng.sample(sorted(WEIGHTS), rng.choice((2, 2, 3)))
    return [(e, rng.randint(1, min(9, 90 // WEIGHTS[e]))) for e in elements]


def work(parts: list[tuple[str, int]]) -> tuple[str, int]:
    """Return the written work ``2*12=24; 6*1=6; 24+6=30`` and the molar mass."""
    masses = [n * WEIGHTS[e] for e, n in parts]
    steps = [f"{n}*{WEIGHTS[e]}={m}" for (e, n), m in zip(parts, masses, strict=True)]
    total = masses[0]
    for mass in masses[1:]:
        steps.append(f"{total}+{mass}={total + mass}")
        total += mass
    return "; ".join(steps), total


def main(directory: Path) -> None:
    """Write the three files."""
    rng, seen = Random(41), set()
    for name, count in ROWS.items():
        lines = []
        while len(lines) < count:
            parts = draw(rng)
            formula = "".join(f"{e}{n if n > 1 else ''}" for e, n in parts)
            if formula in seen:
                continue
            seen.add(formula)
            text, mass = work(parts)
            prompt = rng.choice(ASK).format(f=formula)
            item = {"id": f"chemistry-{name}-{len(lines) + 1:04}", "prompt": prompt, "completion": text}
            lines.append(json.dumps(item | {"grader": "numeric", "answer": mass}) + "\n")
        (directory / f"{name}.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
