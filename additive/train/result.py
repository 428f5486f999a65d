"""What training gives back, and how a finished run is recognised.

The curve of a run on disk: one JSON line per evaluation, appended and synced.

A line that a crash tore off, or whose digest does not fit, ends the curve: what was evaluated from
there on is evaluated again, with the same result.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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


RESULT = "result.json"


_Z90 = 1.6448536269514722


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation as the manifest keeps it; `low` and `high` are its two-sided 90 % interval."""

    step: int
    suite: str
    score: float
    low: float | None
    high: float | None
    loss: float | None


@dataclass(frozen=True)
class Snapshot:
    """The specialist at the evaluated step nearest to a fraction of its plateau step."""

    fraction: float
    step: int
    directory: Path


@dataclass(frozen=True)
class TrainResult:
    """A trained domain, ready to be frozen.

    `directory` holds the plateau (an adapter or a whole model); `outcome` is saturated,
    overfitting or budget; `saturation` has the numbers of the test; `record` what is worth keeping
    besides (preflight, recall, device).
    """

    directory: Path
    kind: str
    outcome: str
    plateau_step: int
    last_step: int
    snapshots: tuple[Snapshot, ...]
    curve: tuple[CurvePoint, ...]
    saturation: dict[str, Any]
    notes: tuple[str, ...]
    record: dict[str, Any]

    @property
    def score(self) -> float:
        """The validation score at the plateau."""
        return next(p.score for p in self.curve if p.step == self.plateau_step)


def curve_points(curve: Sequence[Evaluation], suite: str = "validation") -> tuple[CurvePoint, ...]:
    """The curve for the manifest: the domain's own validation, then what else was watched."""
    own = [_point(evaluation, suite) for evaluation in curve]
    watched = [
        CurvePoint(evaluation.step, name, score, None, None, None)
        for evaluation in curve
        for name, score in sorted(evaluation.also.items())
    ]
    return (*own, *watched)


def interval(correct: Sequence[float]) -> tuple[float, float]:
    """Wilson's two-sided 90 % interval of a mean of scores in [0, 1].

    >>> low, high = interval([1.0] * 90 + [0.0] * 10)
    >>> round(low, 3), round(high, 3)
    (0.84, 0.939)
    """
    n, mean = len(correct), math.fsum(correct) / len(correct)
    centre = (mean + _Z90**2 / (2 * n)) / (1 + _Z90**2 / n)
    half = _Z90 * math.sqrt(mean * (1 - mean) / n + _Z90**2 / (4 * n * n)) / (1 + _Z90**2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def write_result(root: Path, result: TrainResult) -> None:
    """Record a finished run; its existence says that everything it names is there."""
    value = asdict(result) | {
        "directory": result.directory.relative_to(root).as_posix(),
        "snapshots": [
            {**asdict(s), "directory": s.directory.relative_to(root).as_posix()}
            for s in result.snapshots
        ],
    }
    draft = root / f"{RESULT}.tmp"
    draft.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    draft.replace(root / RESULT)


def read_result(root: Path) -> TrainResult | None:
    """The result of a finished run, or None while it is not finished."""
    try:
        value = json.loads((root / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    snapshots = [{**s, "directory": root / s["directory"]} for s in value["snapshots"]]
    return TrainResult(
        **value
        | {
            "directory": root / value["directory"],
            "snapshots": tuple(Snapshot(**s) for s in snapshots),
            "curve": tuple(CurvePoint(**point) for point in value["curve"]),
            "notes": tuple(value["notes"]),
        }
    )


def _point(evaluation: Evaluation, suite: str) -> CurvePoint:
    low, high = interval(evaluation.correct)
    return CurvePoint(evaluation.step, suite, evaluation.score, low, high, evaluation.loss)
