"""numeric: the last number by value, exactly; math-verify only where a side is no plain number."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from additive.errors import IntegrityError
from additive.graders import grade, symbolic
from additive.graders.numeric import boxed, last_number, whole_number
from additive.graders.symbolic import Equality, equal_many


def score(expected, answer, **item):
    return grade("numeric", {"id": "1", "answer": expected, **item}, answer).score


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("17+25=42; 42-9=33", 33), ("x = -2.50", "-5/2"), ("3-5", 5), ("= - 5", -5), ("−3", -3),
        ("costs $1,234.50.", "2469/2"), ("1, 2", 2), ("3/4", "3/4"), ("= -3/4", "-3/4"),
        (r"\boxed{\frac{1}{2}}", "1/2"), (r"$\frac{-3}{4}$", "-3/4"), ("50%", 50), ("7apples", 7),
        ("1e5", 100_000), ("1.5e-3", "3/2000"), ("(3)-4", 4), ("ends in 2.", 2), (".5", "1/2"),
        ("10,000,000", 10_000_000), ("no number", None), ("H2O", None), ("", None), ("10/0", None),
        ("1" * 5000, None),
    ],
)  # fmt: skip
def test_the_last_number(text, value):
    assert last_number(text) == (None if value is None else Fraction(value))


def test_exponents_that_would_fill_the_memory_are_no_numbers():
    assert whole_number("1e999999999") is None


@given(st.integers(-(10**9), 10**9), st.integers(1, 999))
def test_numbers_are_read_back(whole, parts):
    assert last_number(f"so it is {whole}") == whole
    assert last_number(f"so it is {whole:,}") == whole
    assert last_number(f"so it is {whole}/{parts}.") == Fraction(whole, parts)
    assert last_number(f"so it is {whole}.{parts:03d}") == Fraction(f"{whole}.{parts:03d}")


def test_the_last_box_counts_and_braces_balance():
    assert boxed(r"\boxed{1} then \boxed{\frac{1}{2}} done") == r"\frac{1}{2}"
    assert boxed(r"\boxed{3") == "3"
    assert score(42, r"\boxed{42} in 7 steps") == 1.0


def test_value_not_writing():
    assert score(0.5, "1/2") == score("0.50", ".5") == score("1,200", "$1200") == 1.0
    assert score(33, "33.0") == 1.0
    assert score(33, "33.1") == score(33, "-33") == score(33, "") == 0.0
    assert score(3.14, "3.1416") == 0.0
    assert score(3.14, "3.1416", tolerance=0.005) == 1.0


def test_an_answer_without_a_number_is_not_parseable():
    assert not grade("numeric", {"id": "1", "answer": 3}, "none").parseable
    assert grade("numeric", {"id": "1", "answer": 3}, "4").parseable


@pytest.mark.parametrize("answer", [None, True, [3]])
def test_items_without_an_answer_are_refused(answer):
    with pytest.raises(IntegrityError, match="answer is"):
        score(answer, "3")
    with pytest.raises(IntegrityError, match="tolerance is"):
        score(3, "3", tolerance=-1)


def test_plain_numbers_start_no_process(monkeypatch):
    def refuse(*_):
        raise AssertionError("math-verify was asked about a plain number")

    monkeypatch.setattr(symbolic, "equal_many", refuse)
    assert all(score(n, f"{n - 1}+1={n}") for n in range(1, 1001))


def test_symbols_are_compared_in_one_child():
    pairs = [
        (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2"), ("x+1", "1+x"), ("x+1", "x+2"),
        (r"\frac{1}{2}", "0.5"), ("x", "what?"),
    ]  # fmt: skip
    assert [found.equal for found in equal_many(pairs)] == [True, True, False, True, False]
    assert score(r"\frac{\sqrt{3}}{2}", r"so \boxed{\frac{\sqrt 3}{2}}") == 1.0


def test_a_pair_that_takes_too_long_costs_only_itself():
    hostile = "2^{" * 6 + "9" + "}" * 6 + "+ 7^{7^{7^{7^7}}}"
    found = equal_many([("1", "1"), (f"{hostile}!", hostile), ("2", "2")], timeout_s=15)
    assert found[0] == found[2] == Equality(True, True)
    assert not found[1].equal
