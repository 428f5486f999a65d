"""literal, exact, choice, format: values and forms, and items that are not as they should be."""

from __future__ import annotations

import pytest

from additive.errors import IntegrityError, UnknownName
from additive.graders import grade


def of(kind, said, /, **item):
    return grade(kind, {"id": "1", **item}, said)


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("[:2]=[1,2]; sum=3", "3", 1), ("a=[1, 2]", "[1,2]", 1), ("x = 'p=q'", "'p=q'", 1),
        ('"abc"', "'abc'", 1), ("(1,)", "[1]", 0), ("True", "1", 0), ("1.0", "1", 1),
        ("r={2, 1}", "{1, 2}", 1), ("first=1\nlast=2", "2", 1), ("cat", "cat", 1),
        ("dog", "cat", 0), ("[1, 2", "[1, 2]", 0), ("", "3", 0), ("None", "None", 1),
        ("[True]", "[1]", 0), ("=" * 50, "3", 0),
    ],
)  # fmt: skip
def test_literal(answer, expected, right):
    assert of("literal", answer, answer=expected).score == right


def test_literal_says_whether_it_could_be_read():
    assert of("literal", "[1, 2", answer="[1]").parseable is False
    assert of("literal", "[2]", answer="[1]").parseable is True
    assert of("literal", "[2]", answer=[2]).score == 1.0  # an answer written as JSON


def test_literal_with_a_pattern():
    found = of("literal", "Answer: 3\nAnswer: 4", answer="4", extract=r"Answer: (\d)")
    assert (found.score, found.extracted) == (1.0, "4")
    assert of("literal", "nothing", answer="4", extract=r"Answer: (\d)").parseable is False
    with pytest.raises(IntegrityError, match="extract is"):
        of("literal", "4", answer="4", extract="(")


@pytest.mark.parametrize("answer", ["[" * 100_000, "9" * 100_000, "-" * 3000 + "1", "(" * 150])
def test_hostile_literals_are_only_wrong(answer):
    assert of("literal", answer, answer="3").score == 0.0


def test_exact():
    assert of("exact", "  the\n ANSWER. ", answer="The answer").score == 1.0
    assert of("exact", "the answers", answer="The answer").score == 0.0
    assert of("exact", "b", answers=["a", "b"]).score == 1.0
    assert of("exact", "", answer="a").parseable is False
    with pytest.raises(IntegrityError, match="answer is missing"):
        of("exact", "a")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("B", 1), ("(B)", 1), ("The answer is B", 1), ("four", 1), ("it is four", 1),
        ("A. no", 0), ("three or four", 0), ("E", 0), ("", 0),
    ],
)  # fmt: skip
def test_choice(answer, right):
    assert of("choice", answer, choices=["three", "four"], answer=1).score == right


@pytest.mark.parametrize(
    "item",
    [
        {"answer": 0},
        {"choices": ["a"], "answer": 0},
        {"choices": ["a", "b"], "answer": 2},
        {"choices": ["a", "b"], "answer": True},
    ],
)
def test_choices_have_to_be_there(item):
    with pytest.raises(IntegrityError):
        of("choice", "A", **item)


FORMS = [
    ({"json": True}, '{"a": 1}', "{a: 1}"),
    ({"matches": r"\d{4}-\d\d"}, "2026-01", "2026-01 or so"),
    ({"contains": ["x", "y"]}, "x and y", "x"), ({"lacks": [","]}, "a b", "a, b"),
    ({"starts": "Dear"}, "Dear you", "Hi"), ({"ends": "."}, "Yes.", "Yes"),
    ({"lines": 2}, "a\nb", "a"), ({"max_words": 2}, "a b", "a b c"), ({"min_words": 2}, "a b", "a"),
    ({"lower": True}, "abc", "Abc"), ({"upper": True}, "ABC", "ABc"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "good", "bad"), FORMS)
def test_format(form, good, bad):
    assert of("format", good, format=form).score == 1.0
    found = of("format", bad, format=form)
    assert (found.score, found.extracted) == (0.0, next(iter(form)))
    assert of("format", "", format=form).score == 0.0


def test_formats_that_make_no_sense():
    with pytest.raises(UnknownName, match="max_words"):
        of("format", "a", format={"max_word": 3})
    with pytest.raises(IntegrityError, match="format is"):
        of("format", "a", format={})
    with pytest.raises(IntegrityError, match="max_words is 'three'"):
        of("format", "a", format={"max_words": "three"})
