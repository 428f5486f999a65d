"""Lost items are those that the reference had and the merge has not, paired by id."""

from __future__ import annotations

import pytest

from additive.errors import CompatibilityError
from additive.report.evidence import flips_of
from additive.types.results import ItemScore, SuiteResult


def _result(model, scores):
    items = [ItemScore(key, "p" + key, score, f"{model}:{key}") for key, score in scores.items()]
    return SuiteResult("math-new-values", model, tuple(items))


def test_lost_and_won_items_are_told_apart():
    before = _result("math", {"a": 1.0, "b": 1.0, "c": 0.0, "d": 1.0, "e": 0.0})
    after = _result("merge", {"e": 1.0, "d": 0.5, "c": 0.0, "b": 1.0, "a": 0.0})
    flips = flips_of(before, after, {"a": "1+1=", "d": "2+2="}, {"a": "2"})
    assert (flips.lost, flips.won) == (2, 1)
    assert [flip.id for flip in flips.items] == ["a", "d"]
    first = flips.items[0]
    assert (first.prompt, first.expected, first.reference, first.merged) == (
        "1+1=",
        "2",
        "math:a",
        "merge:a",
    )


def test_at_most_twenty_are_kept_and_all_are_counted():
    names = {f"{i:03d}": 1.0 for i in range(50)}
    flips = flips_of(_result("math", names), _result("merge", dict.fromkeys(names, 0.0)), {}, {})
    assert len(flips.items) == 20
    assert flips.lost == 50


def test_other_items_are_refused():
    with pytest.raises(CompatibilityError, match="missing"):
        flips_of(_result("math", {"a": 1.0}), _result("merge", {"b": 1.0}), {}, {})
