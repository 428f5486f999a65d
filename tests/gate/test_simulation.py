"""Error and power by simulation, as in docs/gate.md: the true loss sits on the margin."""

from __future__ import annotations

import math

import numpy as np
import pytest

from additive.gate.compare import compare, compare_retained
from additive.gate.exact import upper_bound
from additive.gate.score_test import score_interval
from additive.types.results import PairedItem

REPETITIONS = 4000
# n, share of changed items, margin
CELLS = [
    (50, 0.06, 0.02), (50, 0.25, 0.05), (100, 0.06, 0.05), (200, 0.12, 0.02),
    (500, 0.12, 0.05), (1000, 0.06, 0.05), (1319, 0.25, 0.02),
]  # fmt: skip


def tables(n, changed, drop, seed):
    """(b10, b01) and how often, when b10 has probability (ψ + D)/2 and b01 (ψ − D)/2."""
    p10, p01 = (changed + drop) / 2, (changed - drop) / 2
    drawn = np.random.default_rng(seed).multinomial(n, [p10, p01, 1 - p10 - p01], REPETITIONS)
    return np.unique(drawn[:, :2], axis=0, return_counts=True)


def share_passing(n, changed, drop, margin, seed=0):
    passed = 0
    for (b10, b01), count in zip(*tables(n, changed, drop, seed), strict=True):
        low, _ = score_interval(int(b10), int(b01), n)
        if b01 < 5:
            low = min(low, -upper_bound(int(b10), n, 0.05))
        passed += int(count) * (low > -margin)
    return passed / REPETITIONS


@pytest.mark.parametrize(("n", "changed", "margin"), CELLS)
def test_a_loss_on_the_margin_passes_in_one_of_twenty(n, changed, margin):
    assert share_passing(n, changed, margin, margin) <= 0.06


@pytest.mark.parametrize(("n", "changed", "margin"), [(1000, 0.12, 0.05), (1319, 0.12, 0.03)])
def test_no_loss_is_recognised(n, changed, margin):
    assert share_passing(n, changed, 0.0, margin) >= 0.9


def test_the_wald_interval_would_pass_too_often():
    """What the table of docs/gate.md warns of: the usual interval at n = 50."""
    n, changed, margin, passed = 50, 0.06, 0.02, 0
    for (b10, b01), count in zip(*tables(n, changed, margin, 0), strict=True):
        d = (b01 - b10) / n
        error = math.sqrt(max((b10 + b01) / n - d * d, 0) / n)
        passed += int(count) * (d - 1.645 * error > -margin)
    assert passed / REPETITIONS > 0.1


def test_compare_is_what_the_table_is_made_of():
    items = [PairedItem(str(i), float(i < 90), float(5 <= i < 93)) for i in range(200)]
    low, high = score_interval(5, 3, 200)
    found = compare(items)
    assert (found.b10, found.b01, found.method) == (5, 3, "tango")
    assert found.low == min(low, -upper_bound(5, 200, 0.05))
    assert found.high == high


def test_retention_on_the_margin_passes_in_one_of_twenty():
    n, base, won, retain = 400, 0.40, 0.55, 0.8
    rng, passed, guarded = np.random.default_rng(1), 0, 0
    repetitions = 800
    for _ in range(repetitions):
        b = rng.random(n) < base
        s = np.where(b, rng.random(n) < 0.95, rng.random(n) < won)
        # right as often as the specialist with probability f, as the base otherwise: it retains f
        m = np.where(rng.random(n) < retain, s, b)
        items = [
            PairedItem(str(i), *map(float, pair)) for i, pair in enumerate(zip(s, m, strict=True))
        ]
        floats = [float(x) for x in b]
        found, margin = compare_retained(items, floats, retain, exact_guard=False)
        passed += found.low > -margin
        guarded += compare_retained(items, floats, retain)[0].low > -margin
    assert 0.03 <= passed / repetitions <= 0.07
    assert guarded <= passed


def test_clusters_are_not_counted_as_items():
    """Twenty clusters of twenty items that all change together carry twenty items' worth."""
    rng, passed, independent = np.random.default_rng(2), 0, 0
    repetitions = 600
    for _ in range(repetitions):
        change = np.repeat(rng.choice([-1.0, 0.0, 1.0], size=20, p=[0.175, 0.7, 0.125]), 20)
        rows = [(0.5 - d / 2, 0.5 + d / 2) for d in change]
        items = [PairedItem(str(i), r, c, f"c{i // 20}") for i, (r, c) in enumerate(rows)]
        passed += compare(items).low > -0.05
        independent += (
            compare([PairedItem(i.id, i.reference, i.candidate) for i in items]).low > -0.05
        )
    assert passed / repetitions <= 0.08
    assert independent / repetitions > 0.15
