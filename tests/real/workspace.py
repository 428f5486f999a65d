"""A workspace of real data: what `additive init` makes, with its domains and suites replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.real.domains import RealDomain

TOKENS = {
    "math-gsm8k": (64, 400),
    "math-svamp": (48, 300),
    "code-mbpp": (96, 400),
    "code-humaneval": (96, 500),
    "code-cruxeval": (48, 120),
    "safety-xstest": (48, 120),
    "safety-refusals": (48, 120),
}
"""The longest answer to an item of each suite, on a small base and on others."""


@dataclass(frozen=True)
class Budget:
    """What a base can do with the time there is: sizes of training, items per suite."""

    brief: bool
    rank: int
    rate: float
    batch: int
    max_length: int
    every: int
    max_steps: int
    limit: int

    def tokens(self, suite: str) -> int:
        """The longest answer to an item of a suite."""
        return TOKENS[suite][0 if self.brief else 1]


SMALL = Budget(
    brief=True, rank=16, rate=1e-3, batch=16, max_length=256, every=40, max_steps=320, limit=200
)
LARGE = Budget(
    brief=False, rank=32, rate=1e-4, batch=32, max_length=1024, every=40, max_steps=600, limit=400
)


def fill(root: Path, domains: Sequence[RealDomain], budget: Budget) -> None:
    """Replace the domains and suites of a fresh workspace; a guard on general text stays."""
    shutil.rmtree(root / "domains")
    for path in [*root.glob("evals/*.yaml"), *root.glob("evals/tasks/*.jsonl")]:
        if not path.name.startswith("general"):
            path.unlink()
    for domain in domains:
        write_domain(root, domain, budget)
        for suite, tasks in domain.held_out.items():
            for task, items in tasks.items():
                write_rows(root / "evals" / "tasks" / f"{task}.jsonl", items)
            write_yaml(root / "evals" / f"{suite}.yaml", suite_spec(domain, suite, budget))


def write_domain(root: Path, domain: RealDomain, budget: Budget) -> None:
    """`domains/<name>/`: rows, the spec, and a README with source and license."""
    directory = root / "domains" / domain.name
    write_rows(directory / "train.jsonl", domain.train)
    write_rows(directory / "validation.jsonl", domain.validation)
    write_yaml(directory / "domain.yaml", domain_spec(domain, budget))
    text = f"# {domain.name}\n\nConverted from public data sets. License: {domain.license}.\n"
    (directory / "README.md").write_text(text, encoding="utf-8")


def domain_spec(domain: RealDomain, budget: Budget) -> dict[str, Any]:
    """`domain.yaml`: a budget of steps and a rule that may end earlier."""
    return {
        "version": 1,
        "description": f"{domain.name} of public data sets",
        "grader": domain.grader,
        "data": {"license": domain.license},
        "adapt": {"kind": "lora", "rank": budget.rank},
        "train": {
            "learning_rate": budget.rate, "batch_size": budget.batch,
            "max_length": budget.max_length,
        },
        "saturation": {
            "eval_steps": budget.every, "min_evals": 5, "window": 5, "max_steps": budget.max_steps,
            "decay_steps": budget.every // 2,
        },
    }  # fmt: skip


def suite_spec(domain: RealDomain, suite: str, budget: Budget) -> dict[str, Any]:
    """One suite; a two-sided one has a rule for each side."""
    rule = {"margin": 0.05}
    tasks = [
        {
            "name": task,
            "data": f"tasks/{task}.jsonl",
            "grader": items[0]["grader"],
            "max_tokens": budget.tokens(suite),
        }
        for task, items in domain.held_out[suite].items()
    ]
    gate = (
        {"sides": {"refuse": rule, "comply": rule}} if suite in domain.two_sided else {"gate": rule}
    )
    return {"version": 1, "domain": domain.name, "tasks": tasks, "limit": budget.limit, **gate}


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """JSON is YAML, and needs no writer."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
