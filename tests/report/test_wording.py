"""Numbers are printed one way, and foreign text obeys nobody."""

from __future__ import annotations

import html
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from additive.report.text import clean, clip, fraction, interval, minus, one_line, signed

anything = st.text(st.characters(codec=None, categories=None))


def test_numbers():
    assert [fraction(v) for v in (0.9514, 1.0, 0.0, -0.0, -0.0004)] == [
        "0.951",
        "1.000",
        "0.000",
        "0.000",
        "0.000",
    ]
    assert [signed(v) for v in (0.1, -0.1, 0.0004, -0.0004, None)] == [
        "+0.100",
        "-0.100",
        "0.000",
        "0.000",
        "-",
    ]
    assert interval((-0.0312, 0.004)) == "[-0.031, +0.004]"
    assert interval(None) == "-"


def test_only_numbers_get_a_minus():
    assert minus("-0.5 CC0-1.0 [-1, 2-3] a-1 x -7") == "−0.5 CC0-1.0 [−1, 2-3] a-1 x −7"


@given(anything)
def test_clean_text_has_nothing_to_obey(text):
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    cleaned.encode()
    for character in cleaned.replace("\n", "").replace("\t", ""):
        assert unicodedata.category(character) not in ("Cc", "Cs")
        assert unicodedata.bidirectional(character) not in (
            "RLO",
            "LRO",
            "RLE",
            "LRE",
            "RLI",
            "PDF",
        )
    assert "\n" not in one_line(text)


@given(anything, st.integers(0, 60))
def test_clipped_text_keeps_its_budget(text, budget):
    clipped = clip(clean(text), budget)
    kept = clipped.removesuffix("…") if clipped != clean(text) else clipped
    assert clean(text).startswith(kept)
    assert len(html.escape(kept).encode()) <= budget


def test_right_to_left_words_stay():
    assert clean("אבג مرحبا") == "אבג مرحبا"
