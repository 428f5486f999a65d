"""The curve of a run on disk: one JSON line per evaluation, appended and synced.

A line that a crash tore off, or whose digest does not fit, ends the curve: what was evaluated from
there on is evaluated again, with the same result.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from additive.train.saturation import Evaluation
from additive.types.digests import canonical_json, digest_json


def read_curve(path: Path) -> list[Evaluation]:
    """The evaluations of a journal up to the first damaged line; empty when there is none."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    curve: list[Evaluation] = []
    for line in lines:
        evaluation = _parse(line)
        if evaluation is None or (curve and evaluation.step <= curve[-1].step):
            break
        curve.append(evaluation)
    return curve


def append(path: Path, evaluation: Evaluation) -> None:
    """Add one evaluation and sync it."""
    with path.open("ab") as file:
        file.write(_line(evaluation))
        file.flush()
        os.fsync(file.fileno())


def rewrite(path: Path, curve: Sequence[Evaluation]) -> None:
    """Replace the journal by these evaluations, at once."""
    draft = path.with_suffix(".tmp")
    with draft.open("wb") as file:
        file.writelines(_line(evaluation) for evaluation in curve)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _line(evaluation: Evaluation) -> bytes:
    record: dict[str, Any] = {
        "step": evaluation.step,
        "correct": list(evaluation.correct),
        "losses": list(evaluation.losses),
        "train_loss": evaluation.train_loss,
        "also": dict(evaluation.also),
    }
    return canonical_json({**record, "digest": digest_json(record)}).encode() + b"\n"


def _parse(line: bytes) -> Evaluation | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.pop("digest", None) != digest_json(record):
        return None
    return Evaluation(
        record["step"],
        tuple(record["correct"]),
        tuple(record["losses"]),
        record["train_loss"],
        record["also"],
    )
