"""Markdown and tables are the files in golden/, and names from outside format nothing."""

from __future__ import annotations

import re

import pytest

from additive.report.document import read_check
from additive.report.evidence import Evidence
from additive.report.markdown import escape, render_markdown
from tests.report.documents import DOCUMENTS, HOSTILE, document, evidence, line, merge, specialist
from tests.report.golden import FOLDER, MAKERS


@pytest.mark.parametrize("name", MAKERS)
def test_golden(name):
    assert MAKERS[name]() == (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("verdict", DOCUMENTS)
def test_a_page_without_manifests_is_whole_too(verdict):
    page = render_markdown(Evidence(read_check(DOCUMENTS[verdict])))
    assert page.startswith(f"# math+code+safety: {verdict}\n")
    assert "## What to do next" in page
    assert "## Where it comes from" not in page
    assert page.endswith("\n")


def test_hostile_names_stay_text():
    check = read_check(document("fail", line(HOSTILE, "fail", reason=HOSTILE, domain=HOSTILE)))
    page = render_markdown(
        Evidence(check, merge(HOSTILE, method={"name": HOSTILE}), [specialist(HOSTILE)])
    )
    assert "\x1b" not in page
    assert "\u202e" not in page
    outside_code = re.sub(r"`[^`]*`|^ {4}.*$", "", page.replace("\\`", ""), flags=re.M)
    assert not re.search(r"(?<!\\)[<>]", outside_code)
    rows = [text for text in page.splitlines() if text.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {11}


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("math_new_values", "math_new_values"),
        ("_a_", r"\_a\_"),
        ("[a](http://b)", r"[a\](http://b)"),
        ("[-0.1, +0.2]", "[-0.1, +0.2]"),
        ("a*b|c`d", r"a\*b\|c\`d"),
        ("line\n# two", "line # two"),
        ("&lt;", r"\&lt;"),
    ],
)
def test_escaping(text, escaped):
    assert escape(text) == escaped


def test_the_page_does_not_depend_on_who_asks():
    assert render_markdown(evidence()) == render_markdown(evidence())
