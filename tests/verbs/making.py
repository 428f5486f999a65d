"""A workspace of small real adapters: frozen with a snapshot each, their domains with rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from additive.artifacts.manifest import CurvePoint, ManifestDraft, Snapshot
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace
from tests.deltas import tiny

Row = dict[str, str]
TARGETS = ["q_proj", "up_proj"]
PLATEAU, HALF, QUARTER = 20, 10, 5
SNAPSHOTS = (
    Snapshot(fraction=0.25, step=QUARTER, path="snapshots/0.25"),
    Snapshot(fraction=0.5, step=HALF, path="snapshots/0.5"),
)


def make_adapters(root: Path, base: Path, rows: Mapping[str, Sequence[Row]]) -> Workspace:
    """One specialist per entry of `rows`, which are its training and its validation rows."""
    root.mkdir()
    (root / "additive.yaml").write_text(f"version: 1\nbase: {{model: {base}}}\n")
    workspace = Workspace(root)
    for seed, (name, own) in enumerate(rows.items(), start=1):
        domain = root / "domains" / name
        domain.mkdir(parents=True)
        (domain / "domain.yaml").write_text(f"version: 1\nsystem: {system_of(name)}\n")
        text = "".join(json.dumps(row) + "\n" for row in own)
        for file in ("train.jsonl", "validation.jsonl"):
            (domain / file).write_text(text)
        _freeze(workspace, base, name, seed)
    return workspace


def system_of(name: str) -> str:
    """What a domain says before every prompt."""
    return f"You do {name}."


def score_of(seed: int, step: int) -> float:
    """What the specialist of a seed is recorded to have scored on its validation rows."""
    return (0.3 + 0.03 * step) / seed


def _freeze(workspace: Workspace, base: Path, name: str, seed: int) -> None:
    with workspace.store.staging("specialist", name) as staged:
        snapshots = [staged / snapshot.path for snapshot in SNAPSHOTS]
        for number, directory in enumerate((staged, *snapshots)):
            moved = seed + 5 * number
            tiny.save_adapter(directory, base, seed=moved, r=3, target_modules=TARGETS)
            (directory / "README.md").unlink(missing_ok=True)
        draft = ManifestDraft(
            kind="specialist",
            name=name,
            base=base_identity(workspace),
            **_trained(seed),
        )
        workspace.store.freeze(staged, draft)


def _trained(seed: int) -> dict[str, Any]:
    """What training records: a curve with another suite beside its own, and a snapshot."""
    points = [
        CurvePoint(step=step, suite=suite, score=score)
        for step in (QUARTER, HALF, PLATEAU)
        for suite, score in (("general", 0.05), ("validation", score_of(seed, step)), ("x", 1.0))
    ]
    return {
        "curve": tuple(points),
        "saturation": {"outcome": "saturated", "plateau_step": PLATEAU, "score": 0.99},
        "snapshots": SNAPSHOTS,
    }
