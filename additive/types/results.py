"""Scores of items, kept so that two models can be compared item by item.

One `SuiteResult` is one model on one suite. Items are paired by `id` and must have been asked with
the same prompt (`prompt_sha256`), never by position.

Results as JSON: one model on one suite, item by item.

    {"schema": "additive.result/1", "suite": "math", "model": "math@9f3c2a1b", "record": {…},
     "items": [{"id": "new-values/17", "prompt_sha256": "…", "score": 1.0, "answer": "42",
                "parseable": true}]}

An item without a score has `"score": null` and says why in `"unscored"`. Reading is strict: scores
are numbers in [0, 1], ids are unique, nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from additive.errors import CompatibilityError, IntegrityError


@dataclass(frozen=True)
class ItemScore:
    """The score of one item.

    id             unique in its result
    prompt_sha256  of the prompt as it was asked
    score          in [0, 1] (1 is right); None where there is none, and `unscored` says why
    answer         what the model said
    parseable      whether a grader found an answer in it
    cluster        names items that are not independent of each other
    unscored       why there is no score: a cause that does not depend on the answer, or a grader
                   that raised on it; never a wrong answer
    """

    id: str
    prompt_sha256: str
    score: float | None
    answer: str = ""
    parseable: bool = True
    cluster: str | None = None
    unscored: str | None = None


@dataclass(frozen=True)
class SuiteResult:
    """One model's items on one suite (or one side of a two-sided one), in the suite's order."""

    suite: str
    model: str
    items: tuple[ItemScore, ...]
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> float | None:
        """The mean score of the items that have one; None where none has."""
        scores = [item.score for item in self.items if item.score is not None]
        return math.fsum(scores) / len(scores) if scores else None

    @property
    def unscored(self) -> tuple[ItemScore, ...]:
        """The items without a score."""
        return tuple(item for item in self.items if item.score is None)

    def with_unscored_as(self, value: float) -> SuiteResult:
        """The same result with a score for the items that have none."""
        items = (replace(i, score=value) if i.score is None else i for i in self.items)
        return replace(self, items=tuple(items))

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
    """Align two results item by item; items that one of them has no score for are left out.

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
        if item.score is not None and other.score is not None:
            yield PairedItem(item.id, item.score, other.score, item.cluster)


SCHEMA = "additive.result/1"


def result_document(result: SuiteResult) -> dict[str, Any]:
    """The result as JSON values; `read_document` gives back an equal one."""
    return {
        "schema": SCHEMA,
        "suite": result.suite,
        "model": result.model,
        "record": dict(result.record),
        "items": [_item_document(item) for item in result.items],
    }


def read_document(document: Mapping[str, Any], where: str = "result") -> SuiteResult:
    """The result that `result_document` wrote.

    Raises: IntegrityError naming the field or the item that is not as it should be.
    """
    if document.get("schema") != SCHEMA:
        raise wrong(where, "schema", document.get("schema"), repr(SCHEMA))
    rows, record = document.get("items"), document.get("record", {})
    if not isinstance(rows, list):
        raise wrong(where, "items", rows, "a list")
    if not isinstance(record, Mapping):
        raise wrong(where, "record", record, "an object")
    return SuiteResult(
        suite=_text(document, "suite", where),
        model=_text(document, "model", where),
        items=unique((read_item(row, f"{where}: items[{i}]") for i, row in enumerate(rows)), where),
        record=record,
    )


def read_item(row: Any, where: str) -> ItemScore:
    """One item from an object with at least `id` and `score`.

    Raises: IntegrityError when one of its fields is not as it should be.
    """
    if not isinstance(row, Mapping):
        raise wrong(where, "item", row, 'an object such as {"id": "1", "score": 1}')
    name, cluster = row.get("id"), row.get("cluster")
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise wrong(where, "id", name, "text or a whole number")
    if cluster is not None and not isinstance(cluster, str):
        raise wrong(where, "cluster", cluster, "text or null")
    unscored = row.get("unscored")
    if unscored is not None and (not isinstance(unscored, str) or not unscored):
        raise wrong(where, "unscored", unscored, "the reason as text, or null")
    if unscored and row.get("score") is not None:
        raise wrong(where, "score", row["score"], "null, as the item is unscored")
    return ItemScore(
        id=str(name),
        prompt_sha256=str(row.get("prompt_sha256", "")),
        score=None if unscored else read_score(row.get("score"), where),
        answer=str(row.get("answer", "")),
        parseable=bool(row.get("parseable", True)),
        cluster=cluster,
        unscored=unscored,
    )


def read_score(value: Any, where: str, name: str = "score") -> float:
    """The value as a score.

    Raises: IntegrityError when it is no number in [0, 1].
    """
    if not isinstance(value, bool | int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise wrong(where, name, value, "a number in [0, 1]")
    return float(value)


def unique(items: Iterable[ItemScore], where: str) -> tuple[ItemScore, ...]:
    """The items, when there is at least one and none has another's id.

    Raises: IntegrityError otherwise.
    """
    found: dict[str, ItemScore] = {}
    for item in items:
        if item.id in found:
            raise IntegrityError(f"item {item.id!r} occurs twice", where=where)
        found[item.id] = item
    if not found:
        raise IntegrityError("there are no items", where=where)
    return tuple(found.values())


def wrong(where: str, name: str, value: Any, should: str) -> IntegrityError:
    """The error of one field."""
    quoted = repr(value)
    quoted = quoted if len(quoted) <= 80 else quoted[:77] + "..."
    return IntegrityError(f"{name} is {quoted}; expected {should}", where=where)


def _item_document(item: ItemScore) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": item.id,
        "prompt_sha256": item.prompt_sha256,
        "score": item.score,
        "answer": item.answer,
        "parseable": item.parseable,
    }
    optional = {"cluster": item.cluster, "unscored": item.unscored}
    return row | {name: value for name, value in optional.items() if value is not None}


def _text(document: Mapping[str, Any], key: str, where: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise wrong(where, key, value, "text")
    return value
