"""The k-th largest magnitude of a delta that is only ever seen block by block.

A full sort of a parameter costs its size again in indices. Here a few sampled rows bracket the
threshold, one pass counts what lies above the bracket and collects what lies inside, and the exact
value is selected among those. Where the sample misled, or more lies inside than memory should hold
(most elements of a bfloat16 fine-tune may be 0, or one unit in the last place), a histogram of bit
patterns finds it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from additive.deltas.model import Delta, matrix_shape, tiles

_SAMPLED_ROWS = 64


_SMALL = 1 << 20


_MOST, _SHARE = 1 << 22, 32


_SPREAD = 6.0


def kept(density: float, numel: int) -> int:
    """How many of `numel` elements a density keeps: at least one.

    >>> kept(0.2, 10), kept(0.2, 3)
    (2, 1)
    """
    return max(1, min(numel, math.floor(density * numel + 1e-9)))


def kth_magnitude(delta: Delta, keep: int) -> float:
    """The smallest magnitude among the `keep` largest: those elements, and ties, are ≥ it."""
    numel = math.prod(delta.shape)
    if keep >= numel:
        return 0.0
    if numel <= _SMALL:
        everything = torch.cat([block.reshape(-1) for block in _magnitudes(delta)])
        return _kth(everything.cpu().numpy(), keep)
    low, high = _bracket(delta, keep / numel)
    counted = _count(delta, low, high)
    if counted and counted.above < keep <= counted.above + counted.inside.size:
        return _kth(counted.inside, keep - counted.above)
    return _by_histogram(delta, keep)


@dataclass(frozen=True)
class _Counted:
    above: int
    inside: numpy.ndarray


def _magnitudes(delta: Delta) -> Iterator[Tensor]:
    for start, stop in tiles(delta.shape):
        yield delta.rows(start, stop).dense().abs()


def _kth(values: numpy.ndarray, keep: int) -> float:
    position = values.size - keep
    return float(numpy.partition(values, position)[position])


def _bracket(delta: Delta, share: float) -> tuple[float, float]:
    """Magnitudes that very likely enclose the threshold: order statistics of evenly spaced rows."""
    rows = matrix_shape(delta.shape)[0]
    chosen = sorted({(2 * i + 1) * rows // (2 * _SAMPLED_ROWS) for i in range(_SAMPLED_ROWS)})
    sample = torch.cat([delta.rows(r, r + 1).dense().reshape(-1) for r in chosen]).abs_()
    values, size = numpy.sort(sample.cpu().numpy()), sample.numel()
    middle = size * (1.0 - share)
    reach = _SPREAD * math.sqrt(size * share * (1.0 - share)) + size / 200 + 2
    low, high = math.floor(middle - reach), math.ceil(middle + reach)
    return (
        float(values[low]) if low >= 0 else 0.0,
        float(values[high]) if high < size else math.inf,
    )


def _count(delta: Delta, low: float, high: float) -> _Counted | None:
    """What lies above and inside; None where much more lies inside than a good bracket has."""
    above, found, inside = 0, 0, []
    most = max(_MOST, math.prod(delta.shape) // _SHARE)
    for block in _magnitudes(delta):
        values = block.reshape(-1).cpu().numpy()
        above += int(numpy.count_nonzero(values >= high))
        within = values >= low
        within &= values < high
        inside.append(values[numpy.flatnonzero(within)])
        found += inside[-1].size
        if found > most:
            return None
    return _Counted(above, numpy.concatenate(inside))


def _by_histogram(delta: Delta, keep: int) -> float:
    """Two passes over bit patterns, whose order is the order of the magnitudes."""
    coarse = _histogram(delta, 16, None)
    upper = _bin_of(coarse, keep)
    rest = keep - int(coarse[upper + 1 :].sum())
    fine = _histogram(delta, 0, upper)
    bits = (upper << 16) | _bin_of(fine, rest)
    return float(numpy.array([bits], dtype=numpy.uint32).view(numpy.float32)[0])


def _histogram(delta: Delta, shift: int, upper: int | None) -> numpy.ndarray:
    counts = numpy.zeros(1 << 16, dtype=numpy.int64)
    for block in _magnitudes(delta):
        bits = block.reshape(-1).cpu().numpy().view(numpy.uint32)
        if upper is not None:
            bits = bits[(bits >> 16) == upper] & 0xFFFF
        counts += numpy.bincount(bits >> shift, minlength=1 << 16)
    return counts


def _bin_of(counts: numpy.ndarray, keep: int) -> int:
    """The highest bin at which at least `keep` elements lie in it or above."""
    from_top = numpy.cumsum(counts[::-1])
    return len(counts) - 1 - int(numpy.searchsorted(from_top, keep))
