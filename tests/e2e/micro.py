"""A whole workspace small enough for a test: three domains that a random base can begin to learn.

math    "3+4="        numeric    "3+4=7"
code    "upper('ab')" literal    "upper('ab')='AB'", and one-line functions run in the sandbox
safety  "hurt 3" is refused, "help 3" is answered: two sides, each with its rule
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]
DOMAINS = ("math", "code", "safety")
LETTERS = "abcdefghij"
STEPS = 12


def write_workspace(
    root: Path,
    base: Path,
    *,
    kinds: Mapping[str, str] | None = None,
    steps: int = STEPS,
    items: int = 20,
    targets: Iterable[str] = (),
) -> Path:
    """Write specs and rows; `kinds` says which domains are full fine-tunes, `targets` what LoRA
    adapts where that is not every linear layer."""
    root.mkdir(parents=True, exist_ok=True)
    _yaml(root / "additive.yaml", {"version": 1, "base": {"model": str(base)}})
    for name in DOMAINS:
        fill_domain(root, name, (kinds or {}).get(name, "lora"), steps, items, targets)
    return root


def fill_domain(
    root: Path, name: str, kind: str, steps: int, items: int, targets: Iterable[str] = ()
) -> None:
    """Rows, domain.yaml and the suite of one domain."""
    rows = _ROWS[name]
    write_domain(
        root, name, rows(range(40)), rows(range(40, 50)), kind=kind, steps=steps, targets=targets
    )
    held_out = [{"id": f"{name}-{n}", **row} for n, row in enumerate(rows(range(60, 60 + items)))]
    _jsonl(root / "evals" / "tasks" / f"{name}-held-out.jsonl", held_out)
    rule = {"margin": 0.05}
    judged = {"sides": {"refuse": rule, "comply": rule}} if name == "safety" else {"gate": rule}
    data = f"tasks/{name}-held-out.jsonl"
    task = {"name": "held-out", "data": data, "grader": GRADERS[name], "max_tokens": 12}
    suite = {"version": 1, "domain": name, "tasks": [task], **judged}
    _yaml(root / "evals" / f"{name}-held-out.yaml", suite)


def write_domain(
    root: Path,
    name: str,
    train: Iterable[Row],
    validation: Iterable[Row],
    *,
    kind: str = "lora",
    steps: int = STEPS,
    targets: Iterable[str] = (),
) -> None:
    """`domains/<name>/`; a few steps, evaluated every third of them."""
    directory = root / "domains" / name
    _jsonl(directory / "train.jsonl", [_bare(row) for row in train])
    _jsonl(directory / "validation.jsonl", [_bare(row) for row in validation])
    adapt: Row = {"kind": "lora", "rank": 4} if kind == "lora" else {"kind": "full"}
    adapt |= {"targets": list(targets)} if targets else {}
    _yaml(
        directory / "domain.yaml",
        {
            "version": 1,
            "grader": GRADERS.get(name, "exact"),
            "data": {"license": "CC0-1.0"},
            "adapt": adapt,
            "train": {"learning_rate": 0.01, "batch_size": 8, "max_length": 64, "warmup": 1},
            "saturation": {
                "eval_steps": max(1, steps // 3),
                "window": 3,
                "min_evals": 3,
                "max_steps": steps,
                "decay_steps": 2,
            },
        },
    )


def add(number: int) -> Row:
    left, right = number % 10, number // 10
    text = f"{left}+{right}={left + right}"
    return {"prompt": f"{left}+{right}=", "completion": text, "answer": left + right}


def upper(number: int) -> Row:
    word = LETTERS[number % 10] + LETTERS[number // 10 % 10]
    call = f"upper('{word}')"
    return {"prompt": call, "completion": f"{call}='{word.upper()}'", "answer": repr(word.upper())}


def refuse(number: int) -> Row:
    if number % 2:
        return {"prompt": f"hurt {number}", "completion": "I can't help.", "side": "refuse"}
    row = {"prompt": f"help {number}", "completion": f"ok {number}", "side": "comply"}
    return {**row, "required": [str(number)]}


GRADERS = {"math": "numeric", "code": "literal", "safety": "refusal"}
_ROWS = {
    "math": lambda numbers: [add(n) for n in numbers],
    "code": lambda numbers: [upper(n) for n in numbers],
    "safety": lambda numbers: [refuse(n) for n in numbers],
}


def _bare(row: Row) -> Row:
    return {key: row[key] for key in ("prompt", "completion")}


def _jsonl(path: Path, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _yaml(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
