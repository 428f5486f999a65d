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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal, overload

import numpy as np

from additive.overlap.ngrams import Grams, Places, counted_pairs, grams_of, ranges, shared_grams
from additive.overlap.texts import normalise, numbers_of, squeezed, words_of

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
    def line(self) -> str:
        """The words between spaces, so that whole words are found in it."""
        return f" {' '.join(self.words)} "

    @cached_property
    def numbers(self) -> Counter[str]:
        """How often each number occurs."""
        return numbers_of(self.text)

    @cached_property
    def kinds_of_number(self) -> frozenset[str]:
        """Which numbers occur."""
        return frozenset(self.numbers)


@dataclass(frozen=True, order=True)
class Leak:
    """A held-out item in a training file: the row's line, the rule, and the words they share."""

    line: int
    item: str
    kind: Kind
    span: str


class Corpus(Sequence[Text]):
    """Texts with what they are found by, which is worked out once."""

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
    def squeezed(self) -> Mapping[str, Sequence[Text]]:
        """The texts that say anything, by what all texts of their normal form have in common."""
        found: dict[str, list[Text]] = defaultdict(list)
        for text in self._texts:
            found[squeezed(text.text)].append(text)
        found.pop("", None)
        return found

    @cached_property
    def grams(self) -> Grams:
        """Every run of SHORT words."""
        return grams_of([text.text for text in self._texts], SHORT)


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
    for key in train.squeezed.keys() & held_out.squeezed.keys():
        for row, item in product(train.squeezed[key], held_out.squeezed[key]):
            if row.normal == item.normal:
                yield _leak(row, item, "exact", row.normal)


def _overlapping(train: Corpus, held_out: Corpus) -> Iterator[Leak]:
    shared = _Shared(held_out.grams, train.grams)
    for at, row_at in shared.anchored():
        item, row = held_out[at], train[row_at]
        if item.line in row.line:
            yield _leak(row, item, "contained", item.line.strip())
    for at, row_at in shared.informative(len(held_out)):
        item, row = held_out[at], train[row_at]
        # Of millions of pairs nearly all differ in a number: a cheap test of sets goes first.
        found = _near(row, item) if item.kinds_of_number <= row.kinds_of_number else None
        if found is not None:
            yield _leak(row, item, *found)


def _leak(row: Text, item: Text, kind: Kind, span: str) -> Leak:
    return Leak(int(row.place), str(item.place), kind, span)


class _Shared:
    """The runs of 8 words that items and rows share, by their places in the grams of both."""

    def __init__(self, items: Grams, rows: Grams) -> None:
        self.items, self.rows = items, rows
        self.in_items, self.in_rows = shared_grams(items, rows)

    def anchored(self) -> Iterator[tuple[int, int]]:
        """Items with the rows that hold their rarest gram: all that could contain the item."""
        items, grams = self.items.rarest
        row_gram = np.full(len(self.items.hashes), -1)
        row_gram[self.in_items] = self.in_rows
        known = row_gram[grams] >= 0
        return self._pairs(items[known], row_gram[grams[known]])

    def informative(self, items: int) -> Iterator[tuple[int, int]]:
        """Items with the rows that share as many runs as 13 equal words have, no boilerplate."""
        limit = max(COMMON_ITEMS, COMMON_ITEM_SHARE * items)
        common = self.items.counts[self.in_items]
        rare = (common <= limit) & (self.rows.counts[self.in_rows] <= COMMON_ROWS)
        starts, counts = self.items.starts[self.in_items[rare]], common[rare]
        owners = self.items.owners[ranges(starts, counts)]
        return self._pairs(owners, np.repeat(self.in_rows[rare], counts), LONG - SHORT + 1)

    def _pairs(self, items: Places, grams: Places, least: int = 1) -> Iterator[tuple[int, int]]:
        """The items with the rows that hold at least so many of their grams (`items[i]` has the
        gram that is `grams[i]` among the rows').
        """
        counts = self.rows.counts[grams]
        rows = self.rows.owners[ranges(self.rows.starts[grams], counts)]
        first, second, times = counted_pairs(np.repeat(items, counts), rows)
        enough = times >= least
        return zip(first[enough].tolist(), second[enough].tolist(), strict=True)


def _near(row: Text, item: Text) -> tuple[Kind, str] | None:
    """The rule by which a row is too close to an item, and the words they share."""
    if not item.numbers <= row.numbers:
        return None
    run = _longest_run(row.line, item.words)
    if len(run) >= LONG:
        return "13-gram", " ".join(run)
    grams, known = _runs(item.words, SHORT), set(_runs(row.words, SHORT))
    shared = sum(gram in known for gram in grams)
    enough = shared >= max(FEWEST_RUNS, SHARE * len(grams))
    return ("8-gram", " ".join(run)) if enough else None


def _longest_run(row: str, item: list[str]) -> list[str]:
    """The longest run of words, of at least SHORT, that stands in both."""
    best, start = [], 0
    while start + max(len(best) + 1, SHORT) <= len(item):
        length = max(len(best) + 1, SHORT)
        while start + length <= len(item) and f" {' '.join(item[start : start + length])} " in row:
            best = item[start : start + length]
            length += 1
        start += 1
    return best


def _runs(tokens: list[str], n: int) -> list[str]:
    return [" ".join(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]
