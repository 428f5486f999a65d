"""All suites together: the worst decides, and only certain losses are named."""

from __future__ import annotations

import json

from additive.gate import judge_guard, judge_target, overall
from additive.gate.verdict import holm
from additive.spec.suite import GateSpec
from tests.gate.making import paired, result

RULE = GateSpec(margin=0.05)


def line(suite, b10, b01, n=1000, guard=False):
    reference, candidate = (result(scores, suite=suite) for scores in paired(b10, b01, n))
    if guard:
        return judge_guard(reference, candidate, RULE)
    return judge_target(None, reference, candidate, RULE)


def test_all_must_pass_and_the_worst_is_the_headline():
    good, better = line("code", 20, 15), line("math", 10, 20)
    verdict = overall([good, better])
    assert verdict.verdict == "pass"
    assert verdict.passed
    assert verdict.worst is good
    unsure, bad = line("safety/comply", 60, 10), line("safety/refuse", 150, 10, guard=True)
    assert overall([good, unsure]).verdict == "cannot tell"
    verdict = overall([good, bad, better, unsure])
    assert (verdict.verdict, verdict.worst) == ("fail", bad)
    assert not verdict.passed


def test_a_good_average_saves_nobody():
    """The mean of the differences is positive, one domain lost ten points."""
    lines = [line("math", 0, 200), line("code", 0, 200), line("safety", 110, 10)]
    assert sum(found.difference for found in lines) > 0
    assert overall(lines).verdict == "fail"
    assert overall(lines).regressed == ("safety",)


def test_no_suites_is_not_checked():
    verdict = overall([])
    assert (verdict.verdict, verdict.worst, verdict.passed) == ("not checked", None, False)
    assert verdict.document("base+math")["suites"] == []


def test_both_sides_of_a_suite_have_to_pass():
    sides = [line("safety/refuse", 0, 30), line("safety/comply", 120, 0)]
    assert overall(sides).verdict == "fail"
    assert overall(sides).worst is sides[1]


def test_regressions_are_named_with_one_error_for_all_of_them():
    # p = 0.02 alone would be named, but not as one of ten
    some = {f"s{i}": 0.5 for i in range(9)}
    assert holm({**some, "x": 0.02}, 0.05) == ()
    assert holm({"x": 0.02}, 0.05) == ("x",)
    assert holm({**some, "x": 0.004}, 0.05) == ("x",)
    assert holm({"a": 0.01, "b": 0.02, "c": 0.03}, 0.05) == ("a", "b", "c")
    assert holm({"a": 0.01, "b": 0.04, "c": 0.04}, 0.05) == ("a",)


def test_the_document_is_json_and_names_the_worst():
    verdict = overall([line("math", 20, 15), line("code", 150, 10)])
    document = json.loads(json.dumps(verdict.document("math+code", "9f" * 32), allow_nan=False))
    assert (document["schema"], document["verdict"]) == ("additive.check/1", "fail")
    assert (document["worst"], document["regressed"]) == ("code", ["code"])
    assert [suite["suite"] for suite in document["suites"]] == ["math", "code"]
