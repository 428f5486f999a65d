"""Runs of n tokens as 64-bit numbers, so that millions of them are compared at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt

from additive.overlap.texts import bare

Numbers = npt.NDArray[np.uint64]


Places = npt.NDArray[np.int64]


_FACTOR = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Grams:
    """The distinct n-grams of a list of texts, sorted, and in which texts each of them stands.

    Gram g has the number `hashes[g]` and stands in `counts[g]` texts, `owners[starts[g]:]`.
    """

    hashes: Numbers
    starts: Places
    counts: Places
    owners: Places

    @cached_property
    def rarest(self) -> tuple[Places, Places]:
        """The texts that have grams, and of each the gram that stands in the fewest texts."""
        grams = np.repeat(np.arange(len(self.hashes)), self.counts)
        order = np.lexsort((self.counts[grams], self.owners))
        texts, first = np.unique(self.owners[order], return_index=True)
        return texts, grams[order][first]


def grams_of(texts: Sequence[str], n: int) -> Grams:
    """All n-grams of all texts, in words as `words_of` has them; a text of fewer has none.

    Two different grams share a hash with a chance of about 2**-64; what is found is compared again
    as text. Hashes hold within one process only.
    """
    words, owners = _numbered(texts, n)
    count = max(len(words) - n + 1, 0)
    mixed = _scrambled(words)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(n):
        hashes = hashes * np.uint64(_FACTOR) + mixed[offset : offset + count]
    inside = owners[:count] == owners[n - 1 :][:count]
    return _indexed(hashes[inside], owners[:count][inside])


def shared_grams(first: Grams, second: Grams) -> tuple[Places, Places]:
    """The grams that two lists of texts have in common, by their place in each."""
    at = np.searchsorted(second.hashes, first.hashes)
    found = at < len(second.hashes)
    found[found] = second.hashes[at[found]] == first.hashes[found]
    return np.flatnonzero(found), at[found]


def counted_pairs(first: Places, second: Places) -> tuple[Places, Places, Places]:
    """The distinct pairs of two aligned lists, sorted, and how often each occurs."""
    if not len(first):
        return first, second, np.empty(0, np.int64)
    stride = int(second.max()) + 1
    pairs, times = np.unique(first * stride + second, return_counts=True)
    return pairs // stride, pairs % stride, times


def ranges(starts: Places, counts: Places) -> Places:
    """`starts[0]`, `starts[0] + 1`, ... (`counts[0]` of them), then those of the next start."""
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts - before, counts)


class _Numbers(dict[str, int]):
    """Words as they are written, each with a number of what is bare of punctuation; 0 is nothing.

    A dictionary, since nearly every word was met before.
    """

    def __missing__(self, written: str) -> int:
        word = bare(written)
        self[written] = number = (hash(word) or 1) if word else 0
        return number


def _numbered(texts: Sequence[str], n: int) -> tuple[Numbers, Places]:
    """Every word's number and the text it stands in, of the texts with at least n words."""
    split = [(owner, text.split()) for owner, text in enumerate(texts)]
    long = [(owner, words) for owner, words in split if len(words) >= n]
    number = _Numbers()
    numbers = map(number.__getitem__, chain.from_iterable(words for _, words in long))
    lengths = np.array([len(words) for _, words in long], dtype=np.int64)
    flat = np.fromiter(numbers, dtype=np.int64, count=int(lengths.sum()))
    owners = np.repeat(np.array([owner for owner, _ in long], dtype=np.int64), lengths)
    return flat[flat != 0].view(np.uint64), owners[flat != 0]


def _indexed(hashes: Numbers, owners: Places) -> Grams:
    """The distinct pairs of gram and text, by gram."""
    order = np.argsort(hashes, kind="stable")  # owners rise already
    hashes, owners = hashes[order], owners[order]
    new = np.ones(len(hashes), dtype=bool)
    new[1:] = hashes[1:] != hashes[:-1]
    distinct = new.copy()
    distinct[1:] |= owners[1:] != owners[:-1]
    hashes, owners, new = hashes[distinct], owners[distinct], new[distinct]
    starts = np.flatnonzero(new)
    return Grams(hashes[starts], starts, np.diff(starts, append=len(hashes)), owners)


def _scrambled(values: Numbers) -> Numbers:
    mixed = (values ^ (values >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(27))
