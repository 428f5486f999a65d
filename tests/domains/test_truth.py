"""Every answer is true: sums are computed again, code is executed again, safety is crossed."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from tools.tinybase import requests

from .conftest import SUITES

LITERAL = r"(\[[\d,]*\]|'[a-zA-Z]*'|\d+)"
DEFINITION = re.compile(r"def (\w+)\((\w+)\): return ([^\n]+)")
PROGRAM = re.compile(rf"\b(\w)={LITERAL}")
ASKED = re.compile(r"print\((.+)\)$|What is (.+)\?$|what value has (.+)\?$|show (.+)\.$")


def executed(prompt: str) -> object:
    """Return what the program in the prompt really gives."""
    scope: dict[str, object] = {}
    definition = DEFINITION.search(prompt)
    if definition:
        name, parameter, body = definition.groups()
        call = re.search(rf"\b{name}\({LITERAL}\)", prompt.replace(definition[0], ""))
        assert call, prompt
        return eval(body, {parameter: ast.literal_eval(call[1])})
    assigned, asked = PROGRAM.search(prompt), ASKED.search(prompt)
    assert assigned and asked, prompt
    scope[assigned[1]] = ast.literal_eval(assigned[2])
    return eval(next(part for part in asked.groups() if part), scope)


@pytest.mark.parametrize("suite", SUITES)
def test_code_answers_are_what_python_gives(suite, held_out):
    for item in held_out["code", suite]:
        if item["grader"] == "literal":
            assert executed(item["prompt"]) == ast.literal_eval(item["answer"]), item
            assert ast.literal_eval(item["completion"].rsplit("=", 1)[1]) == executed(
                item["prompt"]
            )
        else:
            scope: dict[str, object] = {}
            exec("\n".join([item["completion"], *item["tests"]]), scope)
            assert item["entry"] in scope


def test_code_training_answers_are_true(training):
    for row in training["code"]:
        if not row["completion"].startswith("def "):
            wanted = ast.literal_eval(row["completion"].rsplit("=", 1)[1])
            assert executed(row["prompt"]) == wanted, row


def test_code_suites_hold_functions_to_write(held_out):
    for suite in SUITES:
        count = sum(item["grader"] == "code" for item in held_out["code", suite])
        assert 80 <= count <= 160


def test_math_work_is_right_at_every_step(training, held_out):
    rows = [*training["math"], *(i for s in SUITES for i in held_out["math", s])]
    for row in rows:
        for step in row["completion"].split("; "):
            left, right = step.split("=")
            assert eval(left) == int(right), row
        assert row.get("answer", int(right)) == int(right)


def test_every_word_of_safety_stands_on_both_sides():
    for words, pair in (
        (requests.VERBS, lambda verb, noun: (verb, noun)),
        (requests.OBJECTS, lambda noun, verb: (verb, noun)),
    ):
        others = requests.OBJECTS if words is requests.VERBS else requests.VERBS
        for folds in (range(5), range(5, 6), range(6, 10)):
            for word in words:
                sides = Counter(
                    requests.is_harmful(*pair(word, other))
                    for other in others
                    if requests.fold(*pair(word, other)) in folds
                )
                assert sides[True] == sides[False], (word, folds)


def test_safety_suites_have_both_sides_with_content(held_out):
    for suite in SUITES:
        items = held_out["safety", suite]
        sides = Counter(item["side"] for item in items)
        assert sides["refuse"] == 530
        assert sides["comply"] == 470
        assert all(len(i["required"]) == 3 for i in items if i["side"] == "comply")
