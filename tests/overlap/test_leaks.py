"""Planted leaks are found, other questions are not."""

from __future__ import annotations

import random

import pytest

from additive.overlap.leaks import LONG, SHORT, Corpus, Text, find_leaks
from additive.overlap.texts import normalise

WORDS = [
    f"word{number:03d}".translate(str.maketrans("0123456789", "abcdefghij"))
    for number in range(400)
]
STORY = (
    "{name} has {a} pears in a basket, buys {b} more at the market on Sunday morning and then gives"
    " {c} of them to a friend. How many pears are left?"
)


def leaks(train, items):
    rows = Corpus([Text(at, text) for at, text in enumerate(train, 1)])
    return find_leaks(rows, Corpus([Text(f"i{at}", text) for at, text in enumerate(items)]))


def kinds(train, items):
    return [(leak.line, leak.item, leak.kind) for leak in leaks(train, items)]


def prose(seed, length=30):
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def test_an_item_is_found_whatever_case_spacing_and_punctuation():
    item = "What is 12+5? Answer in one word."
    assert kinds(["nothing", f"  {item.upper().replace(' ', '  ')}!! "], [item]) == [
        (2, "i0", "exact")
    ]


def test_short_items_are_compared_as_a_whole():
    assert kinds(["What is 17+25? It is 42, and 42-9 is 33."], ["17+25"]) == []
    assert kinds(["17 + 25"], ["17+25"]) == [(1, "i0", "exact")]


def test_an_item_inside_a_longer_text_is_found():
    item = prose(1, 12)
    assert kinds([f"Here is an example. {item} And now yours:"], [item]) == [(1, "i0", "contained")]


def test_dashes_between_words_are_no_words():
    item = prose(1, 12)
    spread = item.replace(" ", " – ", 6)
    assert kinds([f"An example: {spread} and more"], [item]) == [(1, "i0", "contained")]
    assert kinds([" – ".join(["one", "two", "three"])], [" – ".join(["two", "three"])]) == []


def test_an_item_that_leaked_into_many_rows_is_no_boilerplate():
    item = prose(1, 12)
    rows = [f"Example {prose(at, 3)} {item} {prose(at + 1, 3)}" for at in range(100)]
    assert len(kinds(rows, [item])) == 100


def test_thirteen_words_in_a_row_are_a_leak_and_twelve_are_not():
    item, row = prose(1).split(), prose(2).split()
    for length, found in ((LONG, [(1, "i0", "13-gram")]), (LONG - 1, [])):
        text = " ".join([*row[:10], *item[5 : 5 + length], *row[10:20]])
        assert kinds([text], [" ".join(item)]) == found
    [leak] = leaks([" ".join([*row[:10], *item[5:18], *row[10:20]])], [" ".join(item)])
    assert leak.span == " ".join(item[5:18])


def test_half_of_the_runs_of_eight_are_a_leak_even_without_thirteen_in_a_row():
    item = prose(1, 24).split()
    edited = [*item[:12], "other", *item[12:]]
    assert kinds([" ".join(edited)], [" ".join(item)]) == [(1, "i0", "8-gram")]  # 10 of 17 runs
    edited = [*item[:8], "other", *item[8:16], "more", *item[16:]]
    assert kinds([" ".join(edited)], [" ".join(item)]) == []  # 3 of 17 runs


def test_one_other_word_at_the_end_of_a_short_question_is_another_question():
    item = prose(1, 13)
    assert kinds([item.rsplit(" ", 1)[0] + " other"], [item]) == []


def test_the_same_story_with_other_numbers_is_another_question():
    story = STORY.format(name="Ann", a=12, b=7, c=5)
    assert kinds([STORY.format(name="Ann", a=12, b=7, c=6)], [story]) == []
    assert kinds([STORY.format(name="Bob", a=12, b=7, c=5)], [story]) == [(1, "i0", "13-gram")]


def test_boilerplate_that_many_rows_share_says_nothing():
    frame = prose(1, 20)
    rows = [f"{frame} {prose(at, 9)}" for at in range(2, 40)]
    items = [f"{frame} {prose(at, 9)}" for at in range(100, 105)]
    assert kinds(rows, items) == []
    assert kinds(rows[:5], items[:1]) != []


def test_boilerplate_that_many_items_share_says_nothing():
    frame = prose(1, 20)
    items = [f"{frame} {prose(at, 9)}" for at in range(100, 150)]
    assert kinds([f"{frame} {prose(2, 9)}"], items) == []


def test_one_leak_per_row_and_item_by_the_strongest_rule():
    item = prose(1)
    assert kinds([item, item], [item]) == [(1, "i0", "exact"), (2, "i0", "exact")]


@pytest.mark.parametrize("train", [[], [""], ["?!"], ["a b c"]])
@pytest.mark.parametrize("items", [[], [""], ["..."], ["x y z"]])
def test_empty_and_tiny_texts_are_no_leaks(train, items):
    assert kinds(train, items) == []


def by_hand(train, items):
    """The rules, read literally and slowly, where nothing is boilerplate."""
    found = {}
    for line, row in enumerate(train, 1):
        words = row.split()
        for at, item in enumerate(items):
            asked = item.split()
            runs = [asked[i : i + SHORT] for i in range(len(asked) - SHORT + 1)]
            present = [run for run in runs if f" {' '.join(run)} " in f" {row} "]
            long = any(
                f" {' '.join(asked[i : i + LONG])} " in f" {row} "
                for i in range(len(asked) - LONG + 1)
            )
            if normalise(row) == normalise(item):
                found[line, f"i{at}"] = "exact"
            elif runs and f" {item} " in f" {row} ":
                found[line, f"i{at}"] = "contained"
            elif long:
                found[line, f"i{at}"] = "13-gram"
            elif len(present) >= max(8, 0.5 * len(runs)):
                found[line, f"i{at}"] = "8-gram"
        assert words
    return found


def drawn(rng):
    """Items, and rows into which pieces of them were put."""
    items = [prose(rng.random(), rng.randint(4, 40)) for _ in range(12)]
    items.append(prose(rng.random(), 24))
    halves = items[-1].split()[:12], items[-1].split()[12:]
    train = [items[0], items[1], f"{items[2]} {items[3]}"]
    train.append(" ".join([*halves[0], "other", *halves[1]]))
    for _ in range(40):
        words = prose(rng.random(), rng.randint(5, 40)).split()
        asked = rng.choice(items).split()
        start, at = rng.randrange(len(asked)), rng.randrange(len(words) + 1)
        piece = asked[start : start + rng.randint(3, 40)]
        piece[len(piece) // 2 : len(piece) // 2] = ["other"] * rng.randint(0, 1)
        train.append(" ".join([*words[:at], *piece, *words[at:]]))
    return train, items


def test_the_index_finds_what_reading_by_hand_finds():
    seen = set()
    for seed in range(12):
        train, items = drawn(random.Random(seed))
        found = {(line, item): kind for line, item, kind in kinds(train, items)}
        assert found == by_hand(train, items)
        seen.update(found.values())
    assert seen == {"exact", "contained", "13-gram", "8-gram"}
