from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from additive.overlap.texts import item_text, normalise, numbers_of, row_texts, squeezed, words_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How many are LEFT?", "how  many\nare left"),
        ("It's “so” — easy…", "it s so easy"),
        ("1,000 apples", "1000 apples"),
        ("2+2=?", "2 + 2 ="),
        ("ﬁne Ａ", "fine a"),
        ("STRASSE", "straße"),
    ],
)
def test_case_spacing_and_punctuation_do_not_matter(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12+5-3", "12-5+3"),
        ("x[1:2]", "x[12]"),
        ("3.5 apples", "35 apples"),
        ("1 25", "12 5"),
        ("a_b", "ab"),
        ("not good", "good"),
    ],
)
def test_signs_numbers_and_words_do_matter(one, other):
    assert normalise(one) != normalise(other)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_normalising_twice_is_normalising_once(text):
    assert normalise(normalise(text)) == normalise(text)


@settings(deadline=None)
@given(st.text(max_size=80))
@example("3.5 apples,\x1c1,000\u2003– what…")
@example("Ａ\u00a0´\u0301 ½")
def test_texts_with_one_normal_form_are_the_same_when_squeezed(text):
    assert squeezed(text) == normalise(text).replace(" ", "").replace(".", "")


def test_code_is_few_words():
    assert words_of("What does f([3, 2])[::-1] return?") == [
        "what",
        "does",
        "f([3",
        "2])[::-1]",
        "return",
    ]


def test_numbers_are_counted():
    assert numbers_of("3 of 3.5 and x2 of 3") == {"3": 2, "3.5": 1, "2": 1}


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        ({"prompt": "p", "completion": "c"}, {"p", "c"}),
        (
            {
                "messages": [
                    {"role": "user", "content": "u"},
                    {"role": "assistant", "content": "a"},
                ]
            },
            {"u", "a"},
        ),
        ({"instruction": "i", "input": "x", "output": "o"}, {"i", "x", "o", "i x"}),
        ({"conversations": [{"from": "human", "value": "h"}], "id": "7"}, {"h"}),
    ],
)
def test_the_texts_of_a_row_in_every_format(row, texts):
    assert set(row_texts(row)) == texts


def test_an_item_asks_a_text_or_messages():
    assert item_text({"prompt": "p"}) == "p"
    assert item_text({"prompt": [{"role": "user", "content": "a"}, {"content": "b"}]}) == "a b"
    assert item_text({}) == ""
