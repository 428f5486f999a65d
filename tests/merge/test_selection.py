"""Thresholds of large parameters: exact, and in memory that does not grow with equal elements."""

from __future__ import annotations

import tracemalloc

import numpy
import pytest
import torch

from additive.deltas.model import Dense
from additive.merge.method import Draws
from additive.merge.selection import kth_magnitude

SHAPE = (2048, 4096)


def _many_zeros(drawn):
    return torch.where(drawn.abs() < 1.8, 0.0, drawn)


def _few_values(drawn):
    return drawn.sign() * 2.0 ** drawn.abs().mul(1.2).round()


@pytest.mark.parametrize("made", [_many_zeros, _few_values, torch.Tensor.clone])
def test_the_threshold_is_that_of_a_sort_and_its_memory_bounded(made):
    """Where a threshold lies at the edge of many equal elements, too."""
    sizes = made(torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))).abs()
    ordered = numpy.sort(sizes.reshape(-1).numpy())
    edge = int(numpy.count_nonzero(ordered > ordered[0]))
    for keep in (sizes.numel() // 5, edge):
        tracemalloc.start()
        found = kth_magnitude(Dense(sizes), keep)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found == ordered[len(ordered) - keep]
        assert peak < ordered.nbytes


def test_random_numbers_stay_what_they_are():
    """So that an old merge is made again bit for bit; another stream needs another ENGINE."""
    drawn = Draws(7, "layer.weight", first=3).uniform("math", (2, 3))
    assert (drawn * 2.0**24).long().reshape(-1).tolist() == [
        10299093,
        6661500,
        5878635,
        7366634,
        14352278,
        3578809,
    ]
