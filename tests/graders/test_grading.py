"""Many answers at once: order kept, code and verifiers handed on, versions told."""

from __future__ import annotations

import re

import pytest

from additive.errors import IntegrityError, UnknownName, UsageError
from additive.graders import (
    KINDS,
    Fault,
    GradingRequest,
    Runners,
    Verifier,
    grade,
    grade_all,
    version_of,
)
from additive.graders.code import defined_names, extract_code

CODE = {"id": "c", "grader": "code", "entry": "add", "tests": ["assert add(2, 3) == 5"]}


def test_order_is_kept_over_all_kinds_of_work():
    seen = []

    def programs(wanted):
        seen.extend(wanted)
        return ["a + b" in program.code for program in wanted]

    def verifier(used, rows):
        return [
            float(answer == item["want"]) if answer else Fault("verify: KeyError")
            for item, answer in rows
        ]

    own = Verifier("def verify(item, answer): ...", "d" * 64)
    asked = [
        GradingRequest("numeric", {"id": "1", "answer": 3}, "3"),
        GradingRequest("code", CODE, "def add(a, b): return a + b"),
        GradingRequest("own.py", {"id": "2", "want": "x"}, "x"),
        GradingRequest("code", CODE, "def add(a, b): return a - b"),
        GradingRequest("exact", {"id": "3", "answer": "y"}, "n"),
        GradingRequest("own.py", {"id": "4", "want": "x"}, ""),
        GradingRequest("numeric", {"id": "5", "answer": "x+1"}, "1+x"),
    ]
    grades = grade_all(asked, Runners(programs, verifier, {"own.py": own}))
    assert [g.score for g in grades if g.unscored is None] == [1, 1, 1, 0, 0, 1]
    assert [g.unscored for g in grades] == [None] * 5 + ["verify: KeyError", None]
    assert all(g.parseable for g in grades)
    assert [program.entry for program in seen] == ["add", "add"]


def test_programs_are_found_in_answers():
    fenced = "Sure:\n```python\ndef add(a, b):\n    return a + b\n```\nThat adds."
    assert extract_code(fenced) == "def add(a, b):\n    return a + b"
    assert extract_code("def f(): pass") == "def f(): pass"
    assert extract_code("```\nx = 1\n```\n```\nnot python!\n```") == "x = 1"
    assert extract_code("```python\ndef f(): pass") == "def f(): pass"  # cut off before the end
    assert defined_names("import os\nx = 1\ndef f(): pass\nclass C: pass") == {"os", "x", "f", "C"}
    assert defined_names("def f(:") is None


@pytest.mark.parametrize("answer", ["no code here!", "def other(): pass", "", "x ="])
def test_what_has_no_program_is_not_run(answer):
    def refuse(wanted):
        raise AssertionError("ran something that is no program")

    found = grade("code", CODE, answer, refuse)
    assert (found.score, found.parseable) == (0.0, False)


def test_code_needs_someone_to_run_it():
    with pytest.raises(UsageError, match="needs a program runner"):
        grade("code", CODE, "def add(a, b): return 5")
    with pytest.raises(IntegrityError, match="tests is"):
        grade("code", {"id": "c", "tests": "assert True"}, "x = 1", lambda wanted: [True])
    with pytest.raises(IntegrityError, match="entry is 'a b'"):
        grade("code", {**CODE, "entry": "a b"}, "x = 1", lambda wanted: [True])


def test_unknown_graders_are_named():
    with pytest.raises(UnknownName, match="unknown grader 'numerc'; did you mean 'numeric'"):
        grade("numerc", {"id": "1"}, "3")
    with pytest.raises(UnknownName, match="unknown grader"):
        version_of("numerc")


def test_every_grader_has_a_version_and_verifiers_have_their_digest():
    versions = [version_of(kind) for kind in KINDS]
    assert all(re.fullmatch(rf"{k}/\d+", v) for k, v in zip(KINDS, versions, strict=True))
    assert version_of("own.py", {"own.py": Verifier("", "ab")}) == "verifier/ab"
