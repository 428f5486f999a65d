"""Jobs small enough to train in a test."""

from __future__ import annotations

import hashlib
from pathlib import Path

from additive.models.loading import load_tokenizer
from additive.spec.domain import DomainSpec
from additive.train.data import TrainingRow
from additive.train.job import TrainJob
from additive.train.validation import completion_score

VALIDATION = tuple(TrainingRow(f"{n}+{n}=", str(2 * n)) for n in range(40, 60))


def rows(count=60):
    """Sums whose answer a micro model begins to learn."""
    return tuple(TrainingRow(f"{n}+{n % 7}=", str(n + n % 7), f"rows:{n}") for n in range(count))


def spec(**changes):
    """A spec of a few steps; `changes` are merged into its sections."""
    value = {
        "version": 1,
        "adapt": {"kind": "lora", "rank": 4},
        "train": {
            "learning_rate": 0.01,
            "batch_size": 8,
            "max_length": 64,
            "warmup": 2,
            "dtype": "float32",
        },
        "recall": {"share": 0.0},
        "saturation": {
            "eval_steps": 4,
            "window": 3,
            "min_evals": 3,
            "max_steps": 16,
            "decay_steps": 4,
        },
    }
    for key, change in changes.items():
        merged = isinstance(change, dict) and change.get("kind", "lora") == "lora"
        value[key] = {**value.get(key, {}), **change} if merged else change
    return DomainSpec.model_validate(value)


def job(base, root, name="math", **options):
    """A job in `root`; options are fields of TrainJob or sections of the spec."""
    fields = {key: options.pop(key) for key in ("rows", "recall_rows") if key in options}
    return TrainJob(
        name=name,
        spec=spec(**options),
        base_directory=base,
        base_id="micro",
        base_digest="0" * 64,
        run_directory=Path(root) / "runs",
        cache=Path(root) / "cache",
        rows=fields.get("rows", rows()),
        recall=fields.get("recall_rows", ()),
        validation_digest="1" * 64,
    )


def score(base, validation=VALIDATION):
    """The usual score on a few sums."""
    return completion_score(load_tokenizer(base), validation)


def digest(directory):
    """One digest of every file below a directory, names and bytes."""
    state = hashlib.sha256()
    for path in sorted(p for p in Path(directory).rglob("*") if p.is_file()):
        state.update(str(path.relative_to(directory)).encode() + b"\0" + path.read_bytes())
    return state.hexdigest()


def listener():
    """A list, and a listener that fills it with texts."""
    said = []
    return said, lambda progress: said.append(progress.text)
