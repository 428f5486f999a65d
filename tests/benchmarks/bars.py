"""The jobs of `make bench-merge`, and what each must reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bar:
    """What a job must reach.

    ratio   wall ≤ ratio × limit + spare, the limit being the largest of T_io, flops / sgemm and
            bytes / sha256
    memory  bytes over the imports
    faster  wall ≤ mergekit's / faster
    """

    ratio: float | None = None
    spare: float = 0.0
    memory: float | None = None
    faster: float | None = None

    def said(self) -> str:
        """The bar in words."""
        spare = f" + {self.spare:g} s" if self.spare else ""
        words = [
            f"≤ {self.ratio:g} × limit{spare}" if self.ratio else "",
            f"≤ mergekit / {self.faster:g}" if self.faster else "",
            f"≤ {self.memory / 1e6:.0f} MB" if self.memory else "",
        ]
        return ", ".join(word for word in words if word) or "–"

    def met(self, row: Mapping[str, Any], theirs: Mapping[str, Any] | None) -> bool | None:
        """Whether a measured row reaches it, mergekit's beside; None where that cannot be said."""
        held: list[bool] = []
        if self.ratio:
            held.append(row["wall"] <= self.ratio * row["limit"] + self.spare)
        if self.memory:
            held.append(row["memory"] <= self.memory)
        if self.faster and theirs:
            held.append(row["wall"] * self.faster <= theirs["wall"])
        if not all(held):
            return False
        return None if not held or (self.faster and not theirs) else True


@dataclass(frozen=True)
class Job:
    """Sources of a kind through a method into an output, and mergekit's words for the same."""

    title: str
    kind: str
    count: int
    method: str
    bar: Bar = field(default_factory=Bar)
    output: str = "checkpoint"
    kit: Mapping[str, Any] | None = None


def _kit(method: str, **parameters: float) -> dict[str, Any]:
    return {"merge_method": method, "parameters": {"weight": 1.0, **parameters}}


_IO, _OUT = Bar(1.3), Bar(1.3, spare=1.0)
_FASTER = Bar(faster=1.0)
JOBS = (
    Job(
        *("3 LoRAs", "lora", 3, "task_arithmetic", Bar(1.3, memory=600e6)),
        kit=_kit("task_arithmetic"),
    ),
    Job("16 LoRAs", "lora", 16, "task_arithmetic", _IO),
    Job("3 LoRAs, adapter out", "lora", 3, "task_arithmetic", _OUT, "adapter"),
    Job("16 LoRAs, adapter out", "lora", 16, "task_arithmetic", _OUT, "adapter"),
    Job("3 fine-tunes, linear", "full", 3, "linear", _IO, kit=_kit("linear")),
    Job(
        *("3 fine-tunes, ties", "full", 3, "ties"),
        Bar(faster=5.0, memory=1e9),
        kit=_kit("ties", density=0.2),
    ),
    Job(
        *("3 fine-tunes, dare_ties", "full", 3, "dare_ties", _FASTER),
        kit=_kit("dare_ties", density=0.5),
    ),
    Job(
        *("3 fine-tunes, della", "full", 3, "della", _FASTER),
        kit=_kit("della", density=0.6, epsilon=0.15),
    ),
    Job(
        *("3 fine-tunes, breadcrumbs", "full", 3, "breadcrumbs", _FASTER),
        kit=_kit("breadcrumbs", density=0.85, gamma=0.01),
    ),
    Job("3 LoRAs, tsv_m", "lora", 3, "tsv_m"),
    Job("3 LoRAs, ties", "lora", 3, "ties"),
)

# Seconds that each step of a portfolio of candidates must stay below.
PORTFOLIO = {
    "prepare": 60.0,
    "prepare, kept from before": None,
    "tsv_m": 10.0,
    "swudi": 10.0,
    "pico": 10.0,
    "svc": 10.0,
    "task_arithmetic": 1.0,
    "linear": 1.0,
}
CANDIDATES = tuple(PORTFOLIO)[2:]

# What the plots of growth show: numbers of LoRAs, and the shapes between which parameters grow.
COUNTS = (1, 2, 4, 8, 32, 64)
GROWN = ("135m", "640mb", "1b", "7b")


def count_job(count: int) -> Job:
    """The sum of so many LoRAs."""
    return Job(f"{count} LoRAs in a sum", "lora", count, "task_arithmetic")
