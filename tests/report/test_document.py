"""The check document is read whole and strictly, and the suite that decides is found."""

from __future__ import annotations

import json
import math

import pytest

from additive.errors import IntegrityError
from additive.report.document import read_check, worst
from additive.report.evidence import by_task, explanation, headline
from tests.report.documents import (
    DOCUMENTS,
    FAIL,
    FAILED,
    GUARD,
    NO_GAIN,
    NOT_CHECKED,
    PASS,
    UNDECIDED,
    document,
    line,
)


@pytest.mark.parametrize("verdict", DOCUMENTS)
def test_a_document_survives_json(verdict):
    assert read_check(json.loads(json.dumps(DOCUMENTS[verdict]))) == read_check(DOCUMENTS[verdict])
    assert read_check(DOCUMENTS[verdict]).verdict == verdict


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("suite", None),
        ("suite", 3),
        ("role", "hero"),
        ("verdict", "passed"),
        ("verdict", "not checked"),
        ("n", -1),
        ("n", 2.5),
        ("base", "0.5"),
        ("merged", math.nan),
        ("difference", math.inf),
        ("difference", True),
        ("interval", [0.1]),
        ("interval", [0.1, None]),
        ("interval", "0.1"),
        ("b10", 0.5),
        ("needed", "many"),
    ],
)
def test_a_wrong_field_is_named(key, value):
    broken = document("pass", line("math-new-values"), line("code-new-values") | {key: value})
    with pytest.raises(IntegrityError, match=rf"suites\[1\]\.{key} is "):
        read_check(broken)


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({**PASS, "schema": "additive.check/2"}, "schema"),
        ({**PASS, "verdict": "green"}, "verdict"),
        ({**PASS, "suites": None}, "suites"),
        ({**PASS, "suites": ["math"]}, r"suites\[0\]"),
        ({**PASS, "name": ""}, "name"),
    ],
)
def test_a_wrong_document_is_refused(broken, field):
    with pytest.raises(IntegrityError, match=f"{field} is .*; expected"):
        read_check(broken)


def test_the_worst_suite_decides_never_the_average():
    def name_of(*suites):
        found = worst(read_check(document("pass", *suites)))
        return found.suite if found else None

    assert name_of(line("a"), UNDECIDED, FAILED, GUARD) == FAILED["suite"]
    assert name_of(line("a"), UNDECIDED, GUARD) == UNDECIDED["suite"]
    near = line("near", interval=[-0.049, 0.2])
    assert name_of(line("a"), near, GUARD) == "near"
    # An interval that is lower in numbers can still be further from its own margin.
    tight = line("tight", interval=[-0.015, 0.0], margin=0.02)
    assert name_of(line("wide", interval=[-0.03, 0.0], margin=0.1), tight) == "tight"
    # A suite that failed decides even where an undecided one may have lost more.
    open_end = {**UNDECIDED, "interval": [-0.4, 0.4]}
    assert name_of(open_end, FAILED) == FAILED["suite"]
    assert name_of() is None


def test_references_and_gains():
    lines = {suite.suite: suite for suite in read_check(FAIL).suites}
    assert lines["code-new-frames"].reference == "its specialist"
    assert lines["code-new-frames"].gain == pytest.approx(0.59)
    for name in (NO_GAIN["suite"], GUARD["suite"]):
        assert lines[name].reference == "the base"
        assert lines[name].gain is None


def test_there_is_a_gain_only_where_the_check_retains_one():
    unsure = line("unsure", base=0.5, specialist=0.52, retention=None)
    worse = line("worse", base=0.6, specialist=0.5, retention=0.9)
    for suite in read_check(document("pass", unsure, worse)).suites:
        assert suite.gain is None
        assert suite.reference == "the base"


def test_the_headline_names_the_suite_and_its_numbers():
    said = headline(read_check(FAIL))
    assert said.startswith("code-new-frames lost 0.075 against its specialist")
    assert "[-0.094, -0.056]" in said
    assert "margin 0.050" in said
    two = document("fail", FAILED, {**FAILED, "suite": "code-new-values"})
    assert "1 other suite with the same verdict" in headline(read_check(two))
    assert "nothing was lost beyond its margin on 4 suites" in headline(read_check(PASS))
    assert "no suite" in headline(read_check(NOT_CHECKED))


def test_what_did_not_pass_is_explained():
    lines = {suite.suite: explanation(suite) for suite in read_check(FAIL).suites}
    assert lines["math-new-values"] == ""
    assert lines["code-new-frames"] == "all of the interval is below -0.05"
    assert lines["safety-new-values/comply"] == "-0.05 is inside the interval"
    bare = {**UNDECIDED, "reason": ""}
    (suite,) = read_check(document("cannot tell", bare)).suites
    assert explanation(suite) == "about 1480 items would settle it, it has 500"


def test_tasks_are_told_apart_where_there_are_several():
    tasks = [
        {"task": name, "n": 500, "base": 0.1, "specialist": None, "merged": 0.9, "b10": 3, "b01": 1}
        for name in ("one", "two")
    ]
    several, single = (
        read_check(document("pass", line("math", tasks=chosen))).suites[0]
        for chosen in (tasks, tasks[:1])
    )
    assert by_task(several)[1] == "two (500 items): base 0.100, merged 0.900, lost 3, won 1"
    assert by_task(single) == ()


def test_without_a_base_the_specialist_is_the_reference():
    alone = line("math", base=None, retention=None)
    (suite,) = read_check(document("pass", alone)).suites
    assert suite.reference == "its specialist"
    assert suite.gain is None
