"""Runs of n tokens as 64-bit numbers, so that millions of them are compared at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
_FACTOR = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Grams:
    """The n-grams of a list of texts: `hashes[i]` occurs in text `owners[i]`."""

    hashes: Numbers
    owners: Places


def grams_of(texts: Sequence[Sequence[str]], n: int) -> Grams:
    """All n-grams of all texts; a text shorter than n has none.

    Two different grams share a hash with a chance of about 2**-64; what is found is compared again
    as text. Hashes hold within one process only.
    """
    lengths = np.array([len(words) for words in texts], dtype=np.int64)
    hashed = (hash(word) for words in texts for word in words)
    flat = np.fromiter(hashed, dtype=np.int64, count=int(lengths.sum())).view(np.uint64)
    owners = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)
    count = len(flat) - n + 1
    if count <= 0:
        return Grams(np.empty(0, np.uint64), np.empty(0, np.int64))
    mixed = _scrambled(flat)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(n):
        hashes = hashes * np.uint64(_FACTOR) + mixed[offset : offset + count]
    inside = owners[:count] == owners[n - 1 :]
    return Grams(hashes[inside], owners[:count][inside])


def counted_pairs(first: Places, second: Places) -> tuple[Places, Places, Places]:
    """The distinct pairs of two aligned lists, sorted, and how often each occurs."""
    if not len(first):
        return first, second, np.empty(0, np.int64)
    stride = int(second.max()) + 1
    pairs, times = np.unique(first * stride + second, return_counts=True)
    return pairs // stride, pairs % stride, times


def _scrambled(values: Numbers) -> Numbers:
    mixed = (values ^ (values >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(27))
