"""The gate fails closed: what has no score, or cannot lose anything, never passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from additive.errors import IntegrityError, UsageError
from additive.gate import judge_guard, judge_target, overall
from additive.gate.files import read_result
from additive.spec.suite import GateSpec
from additive.types.results import ItemScore, SuiteResult, read_document, result_document

RULE = GateSpec(margin=0.05)


def result(name, scores):
    items = tuple(
        ItemScore(str(n), "p", score, unscored=None if score is not None else "verify: KeyError")
        for n, score in enumerate(scores)
    )
    return SuiteResult("s", name, items)


def arms(n=400, lost=0):
    base = result("base", [0.0] * n)
    specialist = result("own", [1.0] * n)
    merged = result("merged", [0.0] * lost + [1.0] * (n - lost))
    return base, specialist, merged


def test_a_pass_stands_while_unscored_items_cannot_turn_it():
    base, specialist, merged = arms()
    assert judge_target(base, specialist, merged, RULE).verdict == "pass"
    few = replace(merged, items=(*result("m", [None] * 3).items, *merged.items[3:]))
    verdict = judge_target(base, specialist, few, RULE)
    assert (verdict.verdict, verdict.unscored, verdict.n) == ("pass", 3, 397)
    assert "3 items have no score (0: merged: verify: KeyError)" in verdict.reason


def test_a_pass_that_unscored_items_could_turn_cannot_be_told():
    base, specialist, merged = arms()
    many = replace(merged, items=(*result("m", [None] * 40).items, *merged.items[40:]))
    assert judge_target(base, specialist, many, RULE).verdict == "cannot tell"


def test_a_fail_that_unscored_items_could_turn_cannot_be_told():
    base, specialist, merged = arms(lost=40)
    assert judge_target(base, specialist, merged, RULE).verdict == "fail"
    clear = replace(merged, items=(*merged.items[:-3], *result("m", [None] * 400).items[-3:]))
    assert judge_target(base, specialist, clear, RULE).verdict == "fail"
    open_ = replace(specialist, items=(*result("s", [None] * 30).items, *specialist.items[30:]))
    assert judge_target(base, open_, merged, RULE).verdict == "cannot tell"


def test_without_any_score_nothing_can_be_told():
    base, specialist, _ = arms()
    verdict = judge_target(base, specialist, result("m", [None] * 400), RULE)
    assert (verdict.verdict, verdict.n, verdict.merged) == ("cannot tell", 0, None)


@pytest.mark.parametrize("level", [0.0, 0.02, 0.05])
def test_a_reference_at_its_margin_has_nothing_to_lose(level):
    n = 400
    scores = [1.0] * round(level * n) + [0.0] * (n - round(level * n))
    verdict = judge_guard(result("base", scores), result("merged", scores), RULE)
    assert verdict.verdict == "cannot tell"
    assert verdict.reason.startswith("nothing to lose here: the base scores")


def test_a_reference_above_its_margin_can_pass():
    scores = [1.0] * 40 + [0.0] * 360
    assert judge_guard(result("base", scores), result("merged", scores), RULE).verdict == "pass"


def test_gaps_never_pass_and_never_hide_a_fail():
    good = judge_target(*arms(), RULE)
    bad = judge_target(*arms(lost=80), RULE)
    assert overall([good]).verdict == "pass"
    assert overall([good], gaps=["code: no target suite"]).verdict == "cannot tell"
    assert overall([good, bad], gaps=["code: no target suite"]).verdict == "fail"
    assert overall([], gaps=["code: no target suite"]).verdict == "not checked"


def test_a_result_without_a_score_says_why():
    made = result("m", [1.0, None])
    assert read_document(result_document(made)) == made
    document = result_document(made)
    del document["items"][1]["unscored"]
    with pytest.raises(IntegrityError, match="score is None"):
        read_document(document)


@pytest.mark.parametrize("metric", ["pct_stereotype", "wer", "brier_score"])
def test_metrics_of_which_less_is_better_are_refused_or_turned(tmp_path, metric):
    path = tmp_path / "samples.jsonl"
    path.write_text(
        "".join(
            f'{{"doc_id": {n}, "filter": "none", "metrics": ["{metric}"], "{metric}": 1.0}}\n'
            for n in range(3)
        )
    )
    with pytest.raises(UsageError, match=f"metric is {metric}, of which less is better"):
        read_result(path)
    assert read_result(path, lower_is_better=True).mean == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"results": {"gsm8k": {"exact_match,strict-match": 0.5}}}', "lm-eval's totals"),
        ('{\n "results": {}\n}', "lm-eval's totals"),
        ('{"eval": {}, "samples": []}', "a log of Inspect"),
        ('{"a": 1, "b": 2}', "an object with the keys a, b"),
    ],
)
def test_files_that_are_no_results_are_called_what_they_are(tmp_path, text, said):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(IntegrityError, match=said):
        read_result(path)


def test_a_byte_order_mark_is_read_over(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "1", "score": 1}\n')
    assert read_result(path).mean == 1
