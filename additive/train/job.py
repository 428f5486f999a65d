"""What is trained, resolved: everything that decides the resulting weights, and its digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.spec.domain import DomainSpec, FullSpec
from additive.train.data import TrainingRow, rows_digest
from additive.types.digests import Digest, digest_json

_FORMAT = "additive.run/1"


@dataclass(frozen=True)
class TrainJob:
    """One domain on one base.

    `base_id` is the base's neutral name (never a local path), `base_digest` its identity;
    `validation_digest` names what `score` is computed on; `run_directory` belongs to this domain
    alone and holds a directory per job; `cache` keeps recall answers.
    """

    name: str
    spec: DomainSpec
    base_directory: Path
    base_id: str
    base_digest: Digest
    run_directory: Path
    cache: Path
    rows: tuple[TrainingRow, ...]
    recall: tuple[TrainingRow, ...] = ()
    validation_digest: Digest = ""

    @property
    def kind(self) -> str:
        """ "lora" or "full"."""
        return self.spec.adapt.kind

    @property
    def share(self) -> float:
        """The share of recall rows in every batch."""
        return self.spec.recall.resolved_share(bool(self.recall)) if self.recall else 0.0

    @property
    def fractions(self) -> tuple[float, ...]:
        """The snapshots to keep: the spec's, but of a full fine-tune only those it asks for."""
        if isinstance(self.spec.adapt, FullSpec) and "snapshots" not in self.spec.model_fields_set:
            return (1.0,)
        return self.spec.snapshots

    @property
    def extend(self) -> float:
        """How far to train, as a multiple of the plateau step."""
        return max(1.0, *self.fractions)

    def fingerprint(self) -> Digest:
        """The digest of all that decides the weights; another job never goes on with this one's."""
        return digest_json(self.record())

    def record(self) -> dict[str, Any]:
        """All that decides the weights, as JSON."""
        spec = self.spec.model_dump(mode="json")
        return {
            "format": _FORMAT,
            "name": self.name,
            "base": self.base_digest,
            "rows": rows_digest(self.rows),
            "recall": rows_digest(self.recall),
            "validation": self.validation_digest,
            "share": self.share,
            "fractions": list(self.fractions),
            **{key: spec[key] for key in ("adapt", "train", "recall", "saturation", "system")},
        }
