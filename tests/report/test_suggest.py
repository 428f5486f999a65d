"""Three next steps, whatever the check says; the commands are ones that a shell takes as meant."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

from additive.report.document import read_check
from additive.report.evidence import Evidence
from additive.report.suggest import Circumstances, suggest
from tests.report.documents import (
    DOCUMENTS,
    FAILED,
    GUARD,
    HOSTILE,
    UNDECIDED,
    document,
    evidence,
    line,
)

SOURCES = Circumstances(["math", "code", "safety"], {"math": 2.0, "code": 5.0, "safety": 1.0}, 0.9)


def _commands(verdict, *suites, around=SOURCES):
    steps = suggest(read_check(document(verdict, *suites)), around)
    assert len(steps) == 3
    return [step.command for step in steps], " ".join(step.text for step in steps)


@pytest.mark.parametrize("verdict", DOCUMENTS)
@pytest.mark.parametrize("around", [SOURCES, Circumstances(), Circumstances(["math"])])
def test_there_are_always_three(verdict, around):
    steps = suggest(read_check(DOCUMENTS[verdict]), around)
    assert len(steps) == 3
    assert len({step.text for step in steps}) == 3
    for step in steps:
        assert step.command is None or step.command.startswith("additive ")


def test_pass_asks_adds_a_domain_and_reports():
    commands, said = _commands("pass", line("math-new-values"))
    assert commands[0] == 'additive ask tiny math math+code+safety "your question"'
    assert commands[1] == "additive train NAME && additive merge math code safety NAME"
    assert commands[2] == "additive report math+code+safety"
    assert "add a domain" in said


def test_fail_turns_down_the_loudest_other_source():
    lost_math = {**FAILED, "suite": "math-new-frames", "domain": "math"}
    commands, said = _commands("fail", line("code-new-values"), lost_math)
    assert "math-new-frames lost 0.075" in said
    assert commands[0] == "additive merge math code#0.5 safety"
    assert commands[1] == "additive merge math code safety --weight code=0.7"
    assert commands[2] == "additive train code"
    assert "recall" in said


def test_a_merge_by_factors_is_first_told_to_sum_deltas():
    lost_math = {**FAILED, "suite": "math-new-frames", "domain": "math"}
    commands, said = _commands(
        "fail", lost_math, around=dataclasses.replace(SOURCES, method="peft_linear")
    )
    assert commands[0] == "additive merge math code safety --method task_arithmetic"
    assert commands[1] == "additive merge math code#0.5 safety"
    assert "cross terms" in said


def test_a_source_is_not_turned_down_for_its_own_loss():
    commands, _ = _commands("fail", FAILED)
    assert commands[0] == "additive merge math#0.5 code safety"
    assert commands[1].endswith("--weight math=0.7")


def test_two_failing_domains_ask_for_a_smaller_scale():
    other = {**FAILED, "suite": "math-new-values", "domain": "math"}
    commands, _ = _commands("fail", FAILED, other)
    assert commands[2] == "additive merge math code safety --scale 0.63"


def test_a_failing_guard_takes_less_of_everything():
    failing = {**GUARD, "verdict": "fail", "difference": -0.08, "interval": [-0.1, -0.06]}
    commands, said = _commands("fail", line("math-new-values"), failing)
    assert "general-text lost 0.080 against the base" in said
    assert commands[0] == "additive merge math code safety --scale 0.63"
    assert commands[1] == "additive merge math#0.5 code#0.5 safety#0.5"


def test_a_lone_source_has_no_other_to_turn_down():
    around = Circumstances(["code"], {}, None)
    commands, _ = _commands("fail", FAILED, around=around)
    assert commands[0] == "additive merge code --scale 0.7"


def test_cannot_tell_says_how_many_items_are_needed():
    commands, said = _commands("cannot tell", line("math-new-values"), UNDECIDED)
    assert "about 1480 items would settle a margin of 0.050, it has 500" in said
    assert "evals/safety-new-values.yaml" in said
    assert commands[0] == "additive check math+code+safety"


def test_what_no_number_of_items_settles_is_treated_as_a_loss():
    at_the_margin = {**UNDECIDED, "difference": -0.05, "needed": None, "reason": "no number"}
    commands, said = _commands("cannot tell", line("math-new-values"), at_the_margin)
    assert "lost 0.050 against its specialist, which no number of items will settle" in said
    assert commands[0] == "additive merge math code#0.5 safety"


def test_a_margin_that_is_too_wide_offers_retain():
    wide = {**UNDECIDED, "reason": "margin too wide: the base would pass", "needed": None}
    _, said = _commands("cannot tell", wide)
    assert "so wide that the base itself would pass" in said
    assert "gate: {retain: 0.9} in evals/safety-new-values.yaml" in said


def test_names_reach_the_shell_as_they_are():
    evil = "a; rm -rf ~ $(x) `y` 'z'"
    around = Circumstances([evil, "code"])
    commands, _ = _commands("fail", FAILED, around=around)
    assert shlex.split(commands[1])[2:] == [evil, "code", "--weight", f"{evil}=0.7"]
    assert shlex.split("additive merge math@9f3c#0.5 code")[2] == "math@9f3c#0.5"


def test_hostile_names_are_cleaned():
    failing = {**FAILED, "suite": HOSTILE, "domain": HOSTILE}
    commands, said = _commands("fail", failing, around=Circumstances([HOSTILE, "b\x1b[2J"]))
    assert "\x1b" not in said + "".join(commands)


def test_the_evidence_knows_sources_norms_and_scale():
    given: Evidence = evidence("fail")
    assert given.sources == ("math", "code", "safety")
    assert given.scale() == 0.9
    assert given.suggestions()[0].command == "additive merge math#0.5 code safety"
