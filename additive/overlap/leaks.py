"""Held-out items that are found again in training data.

exact       the item's normalised prompt is a text of the row
contained   it stands, word for word, inside a longer text of the row
13-gram     13 words in a row are the same
8-gram      at least half of the item's runs of 8 words are in the row, and at least 8 of them

Items of fewer than 8 words are compared by `exact` alone: shorter runs say nothing. The two n-gram
rules look past boilerplate (runs of 8 words that many rows or many items share do not count) and
ask that every number of the item occurs in the row as often: the same story with other numbers is
another question.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, overload

import numpy as np

from additive.overlap.grams import Grams, Places, counted_pairs, grams_of
from additive.overlap.texts import normalise, numbers_of, words_of

SHORT = 8
LONG = 13
SHARE = 0.5
FEWEST_RUNS = 8
COMMON_ROWS = 10
COMMON_ITEMS = 10
COMMON_ITEM_SHARE = 0.01
Kind = Literal["exact", "contained", "13-gram", "8-gram"]


@dataclass(frozen=True)
class Text:
    """A text and where it stands: a line of a training file, or the id of an item."""

    place: int | str
    text: str

    @cached_property
    def normal(self) -> str:
        """Words, numbers and signs on one line."""
        return normalise(self.text)

    @cached_property
    def words(self) -> list[str]:
        """What stands between the spaces."""
        return words_of(self.text)

    @cached_property
    def numbers(self) -> Counter[str]:
        """How often each number occurs."""
        return numbers_of(self.text)


@dataclass(frozen=True, order=True)
class Leak:
    """A held-out item in a training file: the row's line, the rule, and the words they share."""

    line: int
    item: str
    kind: Kind
    span: str


class Corpus(Sequence[Text]):
    """Texts with their runs of words, which are worked out once."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self._texts = tuple(texts)

    @overload
    def __getitem__(self, at: int) -> Text: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Text]: ...
    def __getitem__(self, at: int | slice) -> Text | Sequence[Text]:
        return self._texts[at]

    def __len__(self) -> int:
        return len(self._texts)

    @cached_property
    def grams(self) -> Grams:
        """Every run of SHORT words."""
        return grams_of([text.words for text in self._texts], SHORT)


def find_leaks(train: Corpus, held_out: Corpus) -> tuple[Leak, ...]:
    """Every item found in a training text, one leak per row and item, in the order of the rows.

    Example:
        find_leaks(Corpus([Text(1, "What is 2 + 2?")]), Corpus([Text("a", "what is 2+2")]))
    """
    found: dict[tuple[int, str], Leak] = {}
    for leak in (*_exact(train, held_out), *_overlapping(train, held_out)):
        found.setdefault((leak.line, leak.item), leak)
    return tuple(sorted(found.values()))


def _exact(train: Corpus, held_out: Corpus) -> Iterator[Leak]:
    items: dict[str, list[Text]] = defaultdict(list)
    for item in held_out:
        items[item.normal].append(item)
    for row in train:
        for item in items.get(row.normal, ()) if row.normal else ():
            yield _leak(row, item, "exact", row.normal)


def _overlapping(train: Corpus, held_out: Corpus) -> Iterator[Leak]:
    shared = _Shared(held_out.grams, train.grams)
    for at, row_at in shared.anchored():
        item, row = held_out[at], train[row_at]
        whole = " ".join(item.words)
        if f" {whole} " in f" {' '.join(row.words)} ":
            yield _leak(row, item, "contained", whole)
    # Of millions of pairs nearly all differ in a number: a cheap test of sets goes first.
    asked = [frozenset(item.numbers) for item in held_out]
    given = [frozenset(row.numbers) for row in train]
    for at, row_at in shared.informative(len(held_out)):
        found = _near(train[row_at], held_out[at]) if asked[at] <= given[row_at] else None
        if found is not None:
            yield _leak(train[row_at], held_out[at], *found)


def _leak(row: Text, item: Text, kind: Kind, span: str) -> Leak:
    return Leak(int(row.place), str(item.place), kind, span)


class _Shared:
    """The runs of 8 words that items and rows share, each gram by its number in `grams`."""

    def __init__(self, items: Grams, rows: Grams) -> None:
        self.grams, numbered = np.unique(items.hashes, return_inverse=True)
        self.gram_of_item, self.item, _ = counted_pairs(numbered.astype(np.int64), items.owners)
        at = np.searchsorted(self.grams, rows.hashes)
        known = at < len(self.grams)
        known[known] = self.grams[at[known]] == rows.hashes[known]
        self.gram_of_row, self.row, _ = counted_pairs(
            at[known].astype(np.int64), rows.owners[known]
        )
        self.items_with = np.bincount(self.gram_of_item, minlength=len(self.grams))
        self.rows_with = np.bincount(self.gram_of_row, minlength=len(self.grams))

    def anchored(self) -> Iterator[tuple[int, int]]:
        """Items with the rows that hold their rarest gram: all that could contain the item."""
        if not len(self.item):
            return iter(())
        order = np.lexsort((self.items_with[self.gram_of_item], self.item))
        first = np.unique(self.item[order], return_index=True)[1]
        chosen = order[first]
        return self._pairs(self.gram_of_item[chosen], self.item[chosen])

    def informative(self, items: int) -> Iterator[tuple[int, int]]:
        """Items with the rows that share as many runs as 13 equal words have, no boilerplate."""
        limit = max(COMMON_ITEMS, COMMON_ITEM_SHARE * items)
        rare = (self.items_with <= limit) & (self.rows_with <= COMMON_ROWS)
        keep = rare[self.gram_of_item]
        least = LONG - SHORT + 1
        return self._pairs(self.gram_of_item[keep], self.item[keep], least)

    def _pairs(self, grams: Places, items: Places, least: int = 1) -> Iterator[tuple[int, int]]:
        """The items with the rows that share at least so many of some grams."""
        start = np.searchsorted(self.gram_of_row, grams, side="left")
        stop = np.searchsorted(self.gram_of_row, grams, side="right")
        counts = stop - start
        repeated = np.repeat(items, counts)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self.row[np.repeat(start, counts) + offsets]
        first, second, times = counted_pairs(repeated, rows)
        enough = times >= least
        return zip(first[enough].tolist(), second[enough].tolist(), strict=True)


def _near(row: Text, item: Text) -> tuple[Kind, str] | None:
    """The rule by which a row is too close to an item, and the words they share."""
    if not item.numbers <= row.numbers:
        return None
    run = _longest_run(row.words, item.words)
    if len(run) >= LONG:
        return "13-gram", " ".join(run)
    grams, known = _runs(item.words, SHORT), set(_runs(row.words, SHORT))
    shared = sum(gram in known for gram in grams)
    enough = shared >= max(FEWEST_RUNS, SHARE * len(grams))
    return ("8-gram", " ".join(run)) if enough else None


def _longest_run(row: list[str], item: list[str]) -> list[str]:
    """The longest run of words, of at least SHORT, that stands in both."""
    text, best, start = f" {' '.join(row)} ", [], 0
    while start + max(len(best) + 1, SHORT) <= len(item):
        length = max(len(best) + 1, SHORT)
        while start + length <= len(item) and f" {' '.join(item[start : start + length])} " in text:
            best = item[start : start + length]
            length += 1
        start += 1
    return best


def _runs(tokens: list[str], n: int) -> list[str]:
    return [" ".join(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]
