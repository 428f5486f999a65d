"""One page: whole, small, the same every time, and nothing in it obeys a name from outside."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from additive.report.curves import Curve, Point, curve_picture, score_at, thin, ticks
from additive.report.document import read_check
from additive.report.evidence import Evidence
from additive.report.html import render_html
from additive.report.svg import interval_picture, retention_bars, span_of
from tests.report.documents import (
    DOCUMENTS,
    FAIL,
    HOSTILE,
    NOT_CHECKED,
    PASS,
    document,
    evidence,
    line,
    lost,
    merge,
    specialist,
)
from tests.report.pages import read_page

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300_000


def _hostile() -> Evidence:
    bad = line(HOSTILE, "fail", domain=HOSTILE, reason=HOSTILE)
    check = read_check(document("fail", bad, line("math"), name=HOSTILE.replace("/", "")))
    made = merge(HOSTILE, method={"name": HOSTILE, HOSTILE: HOSTILE})
    made = made.model_copy(update={"notes": (HOSTILE,)})
    source = specialist(HOSTILE, license=HOSTILE)
    source = source.model_copy(update={"saturation": {"outcome": HOSTILE}})
    return Evidence(check, made, [source], [lost(HOSTILE, 30, HOSTILE)])


@pytest.mark.parametrize("verdict", DOCUMENTS)
def test_pages_are_whole(verdict):
    seen = read_page(render_html(evidence(verdict)))
    assert not seen.unclosed
    assert "additive · report of a check\nmath+code+safety\n" in seen.text.replace("\n\n", "\n")
    assert verdict in seen.text
    for suite in DOCUMENTS[verdict]["suites"]:
        assert suite["suite"] in seen.text
    assert ("meta", "content", POLICY) in seen.attributes


@pytest.mark.parametrize("given", [evidence("fail"), _hostile()], ids=["plain", "hostile"])
def test_nothing_runs_and_nothing_is_loaded(given):
    page = render_html(given)
    seen = read_page(page)
    assert not seen.unclosed
    assert not {"script", "img", "link", "iframe", "object", "form", "base"} & set(seen.elements)
    assert seen.elements.count("style") == 1
    assert not [key for _, key, _ in seen.attributes if key.startswith("on")]
    assert not [key for _, key, _ in seen.attributes if key in ("src", "href", "xlink:href")]
    assert "://" not in page
    assert "url(" not in seen.style
    assert "@import" not in seen.style


def test_hostile_text_is_shown_as_text():
    page = render_html(_hostile())
    seen = read_page(page)
    assert "<script>alert('x')</script>" in seen.text
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "\\u202e" in seen.text
    assert "\u05d0\u05d1" in seen.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", page)
    answers = [value for tag, key, value in seen.attributes if (tag, key) == ("dd", "dir")]
    assert set(answers) == {"auto"}
    assert len(answers) == 4 * 20


def test_the_page_is_small_however_much_was_lost():
    text = "\"'<&>" * 4000
    suites = [line(f"suite-{i}", "fail", reason=text) for i in range(12)]
    groups = [lost(f"suite-{i}", 500, text) for i in range(12)]
    plain = render_html(replace(evidence("fail"), flips=[lost(f"s-{i}", 20) for i in range(12)]))
    assert len(plain.encode()) < LIMIT
    full = Evidence(read_check(document("fail", *suites)), merge(), evidence().specialists, groups)
    page = render_html(full)
    assert len(page.encode()) < LIMIT
    assert "500 lost, 2 won; 20 shown" in read_page(page).text


def test_many_domains_fit():
    names = [f"domain-{i:02d}" for i in range(40)]
    suites = [line(f"{name}-{kind}") for name in names for kind in ("values", "frames")]
    sources = [specialist(name, 20_000) for name in names]
    page = render_html(Evidence(read_check(document("pass", *suites)), merge(), sources))
    assert len(page.encode()) < 2 * LIMIT
    few = Evidence(read_check(document("pass", *suites[:24])), merge(), sources[:12])
    assert len(render_html(few).encode()) < LIMIT


_PRINT = """
import hashlib
from additive.report.html import render_html
from additive.report.markdown import render_markdown
from tests.report.documents import evidence
text = render_html(evidence()) + render_markdown(evidence())
print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_two_processes_write_the_same_bytes():
    def printed(seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", _PRINT]
        return subprocess.check_output(command, env=environment, cwd=ROOT, text=True)

    assert printed("1") == printed("2")


def test_it_depends_on_its_input():
    pages = [render_html(evidence(verdict)) for verdict in DOCUMENTS]
    pages.append(render_html(replace(evidence("fail"), flips=())))
    assert len({hashlib.sha256(page.encode()).hexdigest() for page in pages}) == len(pages)


def test_null_scores_are_dashes_not_zeros():
    empty = line(
        "math-new-values",
        "cannot tell",
        n=0,
        base=None,
        specialist=None,
        merged=None,
        difference=0.0,
        interval=[-1.0, 1.0],
        retention=None,
        b10=0,
        b01=0,
        unscored=40,
        reason="there are no items",
    )
    page = render_html(Evidence(read_check(document("cannot tell", empty))))
    assert '<td class="number" data-label="base">-</td>' in page
    assert "there are no items" in page
    assert "None" not in read_page(page).text


def test_sections_that_have_nothing_to_say_are_left_out():
    text = read_page(render_html(Evidence(read_check(NOT_CHECKED)))).text
    for heading in (
        "Every suite",
        "How much",
        "How each",
        "Where it",
        "What was lost",
        "reproduce",
    ):
        assert heading not in text
    assert "What to do next" in text


def test_an_interval_is_drawn_where_it_is():
    check = read_check(FAIL)
    span = span_of(check.suites)
    places = [span.place(value) for value in (-0.094, -0.075, -0.05, 0.0, 0.021)]
    assert places == sorted(places)
    assert span.low < -0.094 < 0.021 < span.high
    failed = next(suite for suite in check.suites if suite.verdict == "fail")
    assert f'cx="{span.place(-0.075):.1f}"' in interval_picture(failed, span)


def test_only_suites_with_a_gain_have_a_bar():
    bars = retention_bars(read_check(FAIL).suites)
    assert [bar.suite.suite for bar in bars] == [
        "math-new-values",
        "code-new-frames",
        "safety-new-values/comply",
    ]
    assert retention_bars(read_check(NOT_CHECKED).suites) == ()
    wild = line("math", retention=-3.0, interval=[-1.0, 1.0])
    picture = retention_bars(read_check(document("fail", wild)).suites)[0].picture
    assert 'width="2"' in picture
    places = [float(x) for x in re.findall(r' x\d="([^"]*)"', picture)]
    assert min(places) >= 0
    assert max(places) <= 1000


@pytest.mark.parametrize("last", [1, 2, 7, 10, 99, 420, 1000, 25_000, 123_456])
def test_ticks_are_few_and_round(last):
    marks = ticks(last)
    assert marks[0] == 0
    assert marks[-1] <= last
    assert 2 <= len(marks) <= 6
    assert len({b - a for a, b in pairwise(marks)}) == 1


def test_a_long_curve_is_thinned_and_keeps_its_end():
    points = tuple(Point(step, step / 10_000) for step in range(10_001))
    kept = thin(points)
    assert len(kept) <= 120
    assert kept[-1] == points[-1]
    assert [point.step for point in kept] == sorted(point.step for point in kept)
    assert thin(points[:3]) == points[:3]


def test_a_snapshot_sits_on_the_curve():
    points = (Point(0, 0.0), Point(100, 0.5), Point(200, 1.0))
    assert score_at(points, 50) == 0.25
    assert score_at(points, 100) == 0.5
    assert score_at(points, 900) == 1.0
    assert score_at(points[1:], 0) == 0.5


def test_a_curve_says_how_it_ended():
    points = (Point(0, 0.1), Point(100, 0.9))
    ended = Curve("math", points, outcome="budget", mark=100, snapshots=((1.0, 100),))
    picture = curve_picture(ended)
    assert picture is not None
    assert "budget at 100" in picture
    assert "#1<" in picture
    assert "polygon" not in picture
    assert curve_picture(Curve("math", ())) is None


def test_every_coordinate_is_a_number():
    page = render_html(replace(evidence("fail"), check=read_check(PASS)))
    for _, key, value in read_page(page).attributes:
        if key in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx"):
            assert re.fullmatch(r"-?\d+(\.\d)?", value), (key, value)
