"""Held-out questions of an adopted domain: a suite of its own, and what the answers show."""

from __future__ import annotations

import pytest

from additive.artifacts.base_check import base_check_of, keep_functional_check
from additive.errors import UsageError
from additive.types.results import ItemScore, SuiteResult
from additive.verbs.init import make_workspace
from additive.verbs.lint import lint_workspace
from additive.verbs.results import compare_with_base
from additive.workspace.workspace import Workspace
from tests.merge import files
from tests.verbs.adopting import adopt_into, write_questions


def test_questions_become_a_suite_that_lint_accepts(workspace, lora, tmp_path):
    rows = [{"prompt": f"{n}+1=", "answer": n + 1} for n in range(5)]
    adopt_into(workspace, lora, suite=write_questions(tmp_path / "q.jsonl", rows))
    fresh = Workspace(workspace.root)
    suite = fresh.suite("math-held-out")
    assert (suite.domain, suite.role, suite.tasks[0].grader) == ("math", "target", "numeric")
    report = lint_workspace(fresh)
    assert report.findings == ()
    assert report.counts["items"] == 5


@pytest.mark.parametrize("place", [{}, {"text_config": {}}])
def test_answers_get_a_quarter_of_what_the_base_can_read(workspace, lora, tmp_path, place):
    longest = {"max_position_embeddings": 192}
    said = dict.fromkeys(place, longest) or longest
    files.configure(tmp_path / "base", "config.json", **said)
    adopt_into(
        workspace, lora, suite=write_questions(tmp_path / "q.jsonl", [{"prompt": "p", "answer": 1}])
    )
    assert Workspace(workspace.root).suite("math-held-out").tasks[0].max_tokens == 48


def test_two_sides_of_questions_are_judged_apart(workspace, lora, tmp_path):
    rows = [{"prompt": "hurt", "side": "refuse"}, {"prompt": "help", "side": "comply"}]
    adopt_into(workspace, lora, suite=write_questions(tmp_path / "q.jsonl", rows))
    assert set(Workspace(workspace.root).suite("math-held-out").sides or ()) == {"refuse", "comply"}


def test_its_own_suite_is_replaced_and_a_persons_is_not(workspace, lora, tmp_path):
    first = write_questions(tmp_path / "q1.jsonl", [{"prompt": "p", "answer": 1}])
    second = write_questions(tmp_path / "q2.jsonl", [{"prompt": "q", "answer": 2}])
    third = write_questions(tmp_path / "q3.jsonl", [{"prompt": "r", "answer": 3}])
    adopt_into(workspace, lora, suite=first)
    adopt_into(workspace, lora, suite=second)
    items = workspace.evals / "tasks" / "math-held-out.jsonl"
    assert '"prompt":"q"' in items.read_text()
    path = workspace.evals / "math-held-out.yaml"
    path.write_text(path.read_text().replace("# batch_size: 32", "batch_size: 8"))
    mine = path.read_text()
    adopt_into(workspace, lora, suite=second)
    assert path.read_text() == mine
    with pytest.raises(UsageError, match="has other questions"):
        adopt_into(workspace, lora, suite=third)
    assert path.read_text() == mine


def test_suites_without_an_item_of_domains_that_are_not_merged_are_left_out(tmp_path):
    files.write_base(tmp_path / "base")
    made = make_workspace(tmp_path / "work", "base", ("math", "law"), start=tmp_path)
    assert [use.name for use in made.suites(["math"])] == ["math-held-out"]
    assert made.unwritten_suites(["math"]) == ("law-held-out",)
    (made.evals / "tasks" / "law-held-out.jsonl").write_text('{"id": "1"}\n')
    assert [use.name for use in made.suites(["math"])] == ["law-held-out", "math-held-out"]


def _result(model, scores):
    items = [ItemScore(str(n), "same", float(score)) for n, score in enumerate(scores)]
    return SuiteResult("s", model, tuple(items))


def test_only_a_sure_gain_settles_a_claim():
    base, half = [0] * 40, [1, 0] * 20
    assert compare_with_base([_result("base", base)], [_result("math", half)])["verdict"] == "pass"
    assert compare_with_base([_result("base", half)], [_result("math", base)])["verdict"] == "fail"
    assert (
        compare_with_base([_result("base", base)], [_result("math", base)])["verdict"]
        == "cannot tell"
    )
    one = compare_with_base([_result("base", base)], [_result("math", [1, *base[1:]])])
    assert one["verdict"] == "cannot tell"
    assert (one["n"], one["score"], one["base_score"]) == (40, 1 / 40, 0)


def test_a_standing_says_what_the_check_found(workspace, lora):
    artifact = adopt_into(workspace, lora).artifact
    told = base_check_of(artifact)
    assert told is not None
    assert str(told).startswith("base claimed: no functional check yet")
    found = compare_with_base([_result("base", [0] * 20)], [_result("math", [1] * 20)])
    keep_functional_check(artifact, found)
    told = base_check_of(artifact)
    assert told is not None
    assert told.state == "checked"
    assert told.why.startswith("it beats the base, 1.000 against the base's 0.000 on 20 questions")
    keep_functional_check(artifact, found | {"verdict": "fail"})
    told = base_check_of(artifact)
    assert told is not None
    assert (told.state, told.why.split(",")[0]) == ("claimed", "it does worse than the base")
