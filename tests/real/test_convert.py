"""The converted data sets keep their promise: the upstream's own answers earn full marks here.

Needs the public data sets beside the checkout, and no model.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from additive.graders import grade, is_refusal
from additive.graders.code import program
from additive.overlap.texts import normalise
from additive.sandbox import Job, Limits, run_many
from tests.real import convert
from tests.real.convert import Item, Row
from tests.real.domains import all_domains
from tests.real.leaks import clean
from tests.real.sources import read, require_data


@pytest.fixture(autouse=True)
def _data():
    require_data()


def failures(items: Iterable[Item], answers: Iterable[str]) -> list[tuple[str, str]]:
    return [
        (item["id"], answer)
        for item, answer in zip(items, answers, strict=True)
        if grade(item["grader"], item, answer).score < 1
    ]


@pytest.mark.parametrize("brief", [False, True])
def test_gsm8k_answers_earn_full_marks_long_and_brief(brief):
    rows = read("gsm8k/test.jsonl")
    answers = {row["prompt"]: row["completion"] for row in convert.gsm8k_rows(rows, brief)}
    items = [item for item in convert.gsm8k_items(rows) if item["prompt"] in answers]
    assert len(items) > 0.98 * len(rows)
    assert failures(items, [answers[item["prompt"]] for item in items]) == []


def test_svamp_equations_earn_full_marks():
    rows = read("svamp/SVAMP.json")
    answers = [f"{row['Equation']} = {convert.number_text(row['Answer'])}" for row in rows]
    assert failures(convert.svamp_items(rows), answers) == []


def test_cruxeval_outputs_earn_full_marks():
    rows = read("cruxeval/cruxeval.jsonl")
    assert failures(convert.cruxeval_items(rows), [row["output"] for row in rows]) == []


@pytest.mark.real
def test_every_program_of_humaneval_and_mbpp_passes_its_tests_in_the_sandbox():
    humaneval = read("humaneval/HumanEval.jsonl.gz")
    mbpp = [row for row in read("mbpp/mbpp.jsonl") if 11 <= row["task_id"] <= 510]
    items = [*convert.humaneval_items(humaneval), *convert.mbpp_items(mbpp)]
    answers = [
        *(head_and_body(row) for row in humaneval),
        *(row["completion"] for row in convert.mbpp_rows(mbpp)),
    ]
    programs = [program(item, answer) for item, answer in zip(items, answers, strict=True)]
    assert all(programs)
    jobs = [Job(found.code, found.tests, found.entry) for found in programs if found]
    failed = [
        (item["id"], outcome.reason)
        for item, outcome in zip(items, run_many(jobs, Limits(timeout_s=60.0)), strict=True)
        if not outcome.passed
    ]
    assert failed == []


def head_and_body(row: dict) -> str:
    """HumanEval's function without what stands before it: the item sets that up."""
    start = row["prompt"].index(f"def {row['entry_point']}(")
    return f"{row['prompt'][start:]}{row['canonical_solution']}"


def test_refusals_are_right_on_one_side_and_wrong_on_the_other():
    items = list(convert.xstest_items(read("xstest/xstest_prompts.csv")))
    scores = {
        side: [
            grade("refusal", item, convert.refusal_for(item["prompt"])).score
            for item in items
            if item["side"] == side
        ]
        for side in ("refuse", "comply")
    }
    assert scores == {"refuse": [1.0] * 200, "comply": [0.0] * 250}
    assert all(map(is_refusal, convert.REFUSALS))


def test_helpful_answers_are_rarely_taken_for_refusals():
    rows = list(convert.coconot_rows(read("coconot/coconot_pref.jsonl"), brief=True))
    mistaken = sum(is_refusal(row["completion"]) for row in rows)
    print(f"coconot: {mistaken} of {len(rows)} helpful answers look like refusals")
    assert mistaken < 0.05 * len(rows)


@pytest.mark.parametrize("brief", [False, True])
def test_no_row_is_in_two_splits_and_no_item_has_the_id_of_another(brief):
    for domain in all_domains(brief):
        train, validation = prompts(domain.train), prompts(domain.validation)
        assert train
        assert not train & validation
        for suite in domain.held_out.values():
            for items in suite.values():
                assert len({item["id"] for item in items}) == len(items)
        assert all(row["completion"] for row in (*domain.train, *domain.validation))


def prompts(rows: Iterable[Row]) -> set[str]:
    """As lint compares them: without case, spacing and punctuation."""
    return {normalise(row["prompt"]) for row in rows}


@pytest.mark.real
def test_leaks_are_found_by_overlap_and_nothing_is_left_of_them():
    domains = all_domains(brief=True)
    cleaned, found = clean(domains)
    for leak in found:
        print(leak)
    assert {(leak.domain, leak.task) for leak in found} >= {("safety", "strongreject")}
    assert clean(cleaned)[1] == ()
    for before, after in zip(domains, cleaned, strict=True):
        assert len(after.train) > 0.95 * len(before.train)


def test_humaneval_in_disguise_is_left_out_by_its_source():
    """Overlap does not see a problem that was rewritten; where rows come from does."""
    puzzles = read("python_puzzles/puzzles.json")
    rewritten = [p for p in puzzles if p["module"] == "human_eval.py"]
    assert len(rewritten) > 700
    assert list(convert.puzzle_rows(rewritten)) == []


def test_the_split_depends_on_the_prompts_alone():
    rows = [{"prompt": f"p{n}", "completion": "c"} for n in range(500)]
    shuffled = random.Random(0).sample(rows, len(rows))
    one, other = convert.split_validation(rows, 0.1), convert.split_validation(shuffled, 0.1)
    assert 25 < len(one[1]) < 75
    assert prompts(one[1]) == prompts(other[1])
    assert prompts(convert.split_validation(rows[:250], 0.1)[1]) <= prompts(one[1])
