"""The table fits its width, cuts nothing off, and says the same at every width."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from additive.report.document import read_check
from additive.report.table import plain_table, rich_table, rows
from tests.report.documents import DOCUMENTS, FAIL, HOSTILE, PASS, document, line


@pytest.mark.parametrize("width", [40, 80, 86, 92, 100, 112, 140])
@pytest.mark.parametrize("verdict", DOCUMENTS)
def test_tables_fit(verdict, width):
    text = plain_table(read_check(DOCUMENTS[verdict]), width)
    assert all(len(printed) <= max(width, 80) for printed in text.splitlines())
    assert not re.search(r"[ \t]+$", text, re.M)


names = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1)
scores = st.floats(0, 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, scores, scores), min_size=1, max_size=4), st.integers(80, 130))
def test_nothing_is_cut_off_and_nothing_is_too_wide(drawn, width):
    suites = [
        line(name, base=low, merged=high, difference=high - low, interval=[high - low, 1.0])
        for name, low, high in drawn
    ]
    check = read_check(document("pass", *suites))
    text = plain_table(check, width)
    assert all(len(printed) <= width for printed in text.splitlines())
    squeezed = "".join(text.split())
    for row in rows(check):
        assert row.merged in text
        assert row.difference in text
        assert all(part in squeezed for part in row.verdict.split())
    body = text.split("\n", 1)[1]
    for name, _, _ in drawn:
        assert sum(body.count(letter) for letter in set(name)) >= len(name)


def test_a_long_name_is_whole_down_its_column():
    name = "a-domain-whose-name/has-no-end-" * 3 + "z" * 60
    text = plain_table(read_check(document("pass", line(name))), 80)
    column = "".join(printed[:13].strip() for printed in text.splitlines()[3:])
    assert column == name


def test_a_hostile_name_neither_colours_nor_breaks_the_table():
    text = plain_table(read_check(document("pass", line(HOSTILE + "\n\r\nnext"))), 100)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\r" not in text
    assert len(text.splitlines()[2].split()) == 9


@pytest.mark.parametrize("width", [80, 100, 130])
def test_rich_prints_the_same_cells(width):
    check = read_check(FAIL)
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    console.print(rich_table(check, width))
    drawn = console.export_text()
    for row in rows(check):
        assert row.interval in drawn
        assert row.merged in drawn
    assert "…" not in drawn


def test_rich_takes_no_markup_from_names():
    check = read_check(document("pass", line("[bold red]x[/] [link=https://example.org]y")))
    console = Console(width=140, record=True, file=io.StringIO(), force_terminal=True)
    console.print(rich_table(check, 140))
    assert "[bold red]x[/]" in console.export_text()


def test_fractions_are_never_percent():
    assert "%" not in plain_table(read_check(PASS), 140).replace("[90 % interval]", "")
