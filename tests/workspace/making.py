"""A small workspace with one domain, one suite and a base of one tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from additive.tensors.writer import write_file
from additive.workspace.workspace import Workspace
from tests.artifacts.making import write_rest

PROMPTS = [f"What is {a} plus {b}, written out in words?" for a in range(2, 6) for b in range(2, 6)]


def make_base(directory: Path, value: float = 1.0) -> Path:
    """A directory with everything a base must have, in a few bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    write_file(directory / "model.safetensors", {"w": torch.full((2, 2), value)}, {"format": "pt"})
    (directory / "config.json").write_text(json.dumps({"model_type": "llama"}))
    write_rest(directory)
    return directory


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_workspace(root: Path) -> Workspace:
    """A workspace without a fault."""
    make_base(root / "base")
    (root / "additive.yaml").write_text("version: 1\nbase: {model: base}\n")
    sums = root / "domains" / "sums"
    write_rows(sums / "train.jsonl", [{"prompt": p, "completion": "x"} for p in PROMPTS[:10]])
    write_rows(
        sums / "validation.jsonl", [{"prompt": p, "completion": "x"} for p in PROMPTS[10:13]]
    )
    (sums / "domain.yaml").write_text("version: 1\n")
    items = [{"id": f"i{at}", "prompt": p, "answer": "x"} for at, p in enumerate(PROMPTS[13:])]
    write_rows(root / "evals" / "tasks" / "sums.jsonl", items)
    (root / "evals" / "sums.yaml").write_text(
        "version: 1\ndomain: sums\ntasks: [{name: sums, data: tasks/sums.jsonl}]\n"
    )
    return Workspace(root)
