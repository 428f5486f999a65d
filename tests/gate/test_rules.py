"""One suite's verdict: who is the reference, what may be lost, and what is said about it."""

from __future__ import annotations

import pytest

from additive.errors import CompatibilityError, UsageError
from additive.gate import judge_guard, judge_target
from additive.gate.rules import MARGIN_TOO_WIDE
from additive.spec.suite import GateSpec
from additive.types.results import SuiteResult
from tests.gate.making import paired, result


def gate(margin=None, retain=None, **rest):
    return GateSpec.model_validate({"margin": margin, "retain": retain, **rest})


def three(base, specialist, merged, n=1000):
    """Results in which the first so many items are right."""
    return [result([i < share * n for i in range(n)]) for share in (base, specialist, merged)]


def test_a_kept_gain_passes_and_a_lost_one_fails():
    base, specialist, merged = three(0.3, 0.8, 0.79)
    kept = judge_target(base, specialist, merged, gate(0.05), "math")
    assert (kept.verdict, kept.role, kept.domain) == ("pass", "target", "math")
    assert (kept.base, kept.specialist, kept.merged) == (0.3, 0.8, 0.79)
    assert kept.retention == pytest.approx(0.98)
    assert (kept.b10, kept.b01, kept.n) == (10, 0, 1000)
    lost = judge_target(*three(0.3, 0.8, 0.7), gate(0.05))
    assert lost.verdict == "fail"
    assert "is below the margin" in lost.reason


def test_pass_and_fail_are_where_the_interval_is():
    for share in (0.80, 0.78, 0.76, 0.75, 0.74, 0.72, 0.70):
        found = judge_target(*three(0.3, 0.8, share), gate(0.05))
        low, high = found.interval
        assert (found.verdict == "pass") == (low > -0.05)
        assert (found.verdict == "fail") == (high < -0.05)
        assert found.slack == pytest.approx(low + 0.05)


def test_what_cannot_be_told_says_how_many_items_would_settle_it():
    reference, candidate = paired(9, 6, 100)
    found = judge_target(None, result(reference), result(candidate), gate(0.02))
    assert found.verdict == "cannot tell"
    assert found.needed is not None
    assert found.needed > 100
    assert str(found.needed) in found.reason
    again = judge_target(
        None,
        *(result(list(scores) * (found.needed // 50)) for scores in paired(9, 6, 100)),
        gate(0.02),
    )
    assert again.verdict != "cannot tell"


def test_untouched_items_need_the_exact_number():
    same = result([1] * 100)
    found = judge_target(None, same, same, gate(0.02))
    assert (found.verdict, found.needed) == ("cannot tell", 149)
    enough = result([1] * 149)
    assert judge_target(None, enough, enough, gate(0.02)).verdict == "pass"
    # at this margin Tango alone is content with 95 items, the exact test wants 106
    assert judge_target(None, same, same, gate(0.028)).verdict == "cannot tell"
    loose = judge_target(None, same, same, gate(0.028, exact_guard=False))
    assert loose.verdict == "pass"


def test_a_guard_is_compared_with_the_base():
    found = judge_guard(result([1] * 300), result([1] * 299 + [0]), gate(0.05))
    assert (found.role, found.specialist, found.retention) == ("guard", None, None)
    assert (found.base, found.b10) == (1.0, 1)
    assert found.verdict == "pass"
    assert judge_guard(result([1] * 300), result([0] * 300), gate(0.05)).verdict == "fail"


def test_no_gain_means_nothing_to_retain():
    base, specialist, merged = three(0.9, 0.895, 0.88)
    found = judge_target(base, specialist, merged, gate(retain=0.9), "safety")
    assert found.retention is None
    assert found.role == "target"
    assert found.difference == pytest.approx(0.88 - 0.9)  # against the base
    assert found.margin == 0.05
    assert "no gain to retain" in found.reason
    assert judge_target(base, specialist, base, gate(0.05)).verdict == "pass"


def test_a_margin_that_the_base_would_pass_tells_nothing():
    base, specialist, merged = three(0.70, 0.74, 0.74)
    found = judge_target(base, specialist, merged, gate(0.10))
    assert found.verdict == "cannot tell"
    assert MARGIN_TOO_WIDE in found.reason
    assert "retain" in found.reason
    assert found.needed is None
    assert judge_target(base, specialist, merged, gate(0.02)).verdict == "pass"
    assert judge_target(*three(0.70, 0.74, 0.50), gate(0.10)).verdict == "fail"


def test_retain_allows_a_share_of_the_gain():
    base, specialist, _ = three(0.2, 0.7, 0.7, n=2000)
    for share, expected in ((0.70, "pass"), (0.66, "pass"), (0.50, "fail"), (0.60, "cannot tell")):
        merged = result([i < share * 2000 for i in range(2000)])
        found = judge_target(base, specialist, merged, gate(retain=0.8))
        assert found.margin == pytest.approx(0.1)
        assert found.retain == 0.8
        assert (share, found.verdict) == (share, expected)


def test_retain_needs_the_base():
    one = result([1, 0, 1])
    with pytest.raises(UsageError, match="retain needs results of the base"):
        judge_target(None, one, one, gate(retain=0.9))


def test_other_items_or_prompts_are_refused():
    with pytest.raises(CompatibilityError, match="item '2' is missing"):
        judge_target(None, result([1, 1, 1]), result([1, 1]), gate(0.05))
    other = SuiteResult("math", "x", tuple(type(i)(i.id, "q", i.score) for i in result([1]).items))
    with pytest.raises(CompatibilityError, match="another prompt"):
        judge_target(None, result([1]), other, gate(0.05))


def test_graded_scores_and_few_items():
    reference = [0.5 + 0.01 * (i % 7) for i in range(200)]
    same = [value + (0.01 if i % 2 else -0.01) for i, value in enumerate(reference)]
    found = judge_target(None, result(reference), result(same), gate(0.02))
    assert (found.verdict, found.method) == ("pass", "graded, t")
    less = [value - 0.1 for value in reference]
    assert judge_target(None, result(reference), result(less), gate(0.02)).verdict == "fail"
    few = judge_target(None, result(reference[:12]), result(less[:12]), gate(0.02))
    assert (few.method, few.verdict) == ("graded, permutation", "fail")
    two = judge_target(None, result(reference[:2]), result(same[:2]), gate(0.02))
    assert (two.interval, two.verdict) == ((-1.0, 1.0), "cannot tell")


def test_one_cluster_says_nothing():
    scores = [1, 0] * 50
    items = [result(scores, clusters=["c"] * 100), result(scores, clusters=["c"] * 100)]
    found = judge_target(None, *items, gate(0.2))
    assert (found.verdict, found.method) == ("cannot tell", "graded, clusters")


def test_the_document_has_the_keys_that_tools_rely_on():
    found = judge_target(*three(0.3, 0.8, 0.79), gate(0.05), "math").document()
    assert {
        "suite", "domain", "role", "n", "base", "specialist", "merged", "difference", "interval",
        "margin", "retention", "verdict", "b10", "b01", "tasks", "reason", "needed",
    } <= found.keys()  # fmt: skip
    assert isinstance(found["interval"], list)


def test_tasks_break_a_suite_down():
    base = SuiteResult(
        "s",
        "b",
        tuple(type(i)(f"t{int(i.id) % 2}/{i.id}", "p", 0.0) for i in result([0] * 40).items),
    )
    merged = SuiteResult(
        "s", "m", tuple(type(i)(i.id, "p", float(i.id.startswith("t1"))) for i in base.items)
    )
    found = judge_guard(base, merged, gate(0.05))
    assert [(t["task"], t["n"], t["merged"], t["b01"]) for t in found.tasks] == [
        ("t0", 20, 0.0, 0), ("t1", 20, 1.0, 20),
    ]  # fmt: skip
