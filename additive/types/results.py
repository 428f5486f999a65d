"""Scores of items, kept so that two models can be compared item by item.

One `SuiteResult` is one model on one suite. Items are paired by `id` and must have been asked with
the same prompt (`prompt_sha256`), never by position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from additive.errors import CompatibilityError


@dataclass(frozen=True)
class ItemScore:
    """The score of one item.

    `score` is in [0, 1] (1 is right); `answer` is what the model said; `parseable` is whether a
    grader found an answer in it at all; `cluster` names items that are not independent of each
    other.
    """

    id: str
    prompt_sha256: str
    score: float
    answer: str = ""
    parseable: bool = True
    cluster: str | None = None


@dataclass(frozen=True)
class SuiteResult:
    """One model's items on one suite (or one side of a two-sided one), in the suite's order."""

    suite: str
    model: str
    items: tuple[ItemScore, ...]
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """The share of right items; 0 for an empty suite."""
        return sum(item.score for item in self.items) / len(self.items) if self.items else 0.0

    @property
    def parseable(self) -> float:
        """The share of items in which an answer was found."""
        return sum(item.parseable for item in self.items) / len(self.items) if self.items else 0.0


@dataclass(frozen=True)
class PairedItem:
    """One item as the reference and the candidate scored it."""

    id: str
    reference: float
    candidate: float
    cluster: str | None = None


def pair(reference: SuiteResult, candidate: SuiteResult) -> tuple[PairedItem, ...]:
    """Align two results item by item.

    Raises: CompatibilityError when an item is missing on one side or was asked with another prompt.
    """
    return tuple(_pairs(reference, candidate))


def _pairs(reference: SuiteResult, candidate: SuiteResult) -> Iterator[PairedItem]:
    theirs = {item.id: item for item in candidate.items}
    ours = {item.id for item in reference.items}
    for missing in sorted(ours ^ theirs.keys()):
        lacking = candidate if missing in ours else reference
        raise CompatibilityError(
            f"item {missing!r} is missing from the results of {lacking.model}",
            where=reference.suite,
            help="evaluate both models on the same version of the suite",
        )
    for item in reference.items:
        other = theirs[item.id]
        if other.prompt_sha256 != item.prompt_sha256:
            raise CompatibilityError(
                f"item {item.id!r} was asked with another prompt of {candidate.model}"
                f" than of {reference.model}",
                where=reference.suite,
                help="evaluate both models with the same chat template and suite",
            )
        yield PairedItem(item.id, item.score, other.score, item.cluster)
