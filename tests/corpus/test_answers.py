"""Answers as models write them, each graded as a person would: `answers.jsonl`.

A line names the item, and answers that are right, wrong, or in which no answer can be found. The
features are those of public bug reports and of model families; the texts are written by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from additive.evaluate.grading import runners
from additive.graders import GradingRequest, grade_all
from additive.sandbox import strongest_level

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "answers.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["source"])
def test_answers_are_read_as_they_are_meant(case):
    wanted = [
        (text, verdict) for verdict in ("right", "wrong", "unreadable") for text in case[verdict]
    ]
    item = {"id": "1", **case["item"]}
    requests = [GradingRequest(case["grader"], item, text) for text, _ in wanted]
    grades = grade_all(requests, runners({}, strongest_level()))
    faults = [
        f"{text!r}: {verdict}, and graded {grade}"
        for (text, verdict), grade in zip(wanted, grades, strict=True)
        if (grade.score, grade.unscored) != (float(verdict == "right"), None)
        or grade.parseable == (verdict == "unreadable")
    ]
    assert not faults, "\n".join(faults)
