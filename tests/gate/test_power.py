"""What a number of items can decide."""

from __future__ import annotations

import numpy as np
import pytest

from additive.gate import chance_of_passing, items_needed, score_interval, visible_drop
from additive.gate.exact import binomial_cdf, items_without_loss, upper_bound


def test_the_table_of_items():
    """n = (z_a + z_b)² ψ / m² at 80, 90 and 95 % (docs/gate.md)."""
    table = {(0.03, 0.01): (1855, 2570, 3247), (0.12, 0.03): (825, 1142, 1443)}
    for (changed, margin), expected in table.items():
        found = [items_needed(0.0, changed, margin, power=p) for p in (0.8, 0.9, 0.95)]
        assert found == [pytest.approx(n, abs=1) for n in expected]
    assert items_needed(0.0, 0.001, 0.02) == 149  # never fewer than the exact test needs
    assert items_needed(-0.05, 0.1, 0.05) is None  # on the margin


def test_the_chance_of_passing_is_what_simulation_gives():
    n, changed, margin = 600, 0.12, 0.04
    rng = np.random.default_rng(0)
    for drop in (0.0, 0.02):
        p10, p01 = (changed + drop) / 2, (changed - drop) / 2
        drawn = rng.multinomial(n, [p10, p01, 1 - changed], 2000)
        passed = np.mean([score_interval(int(a), int(b), n)[0] > -margin for a, b, _ in drawn])
        assert chance_of_passing(n, changed, margin, drop) == pytest.approx(passed, abs=0.03)


def test_the_visible_drop_fails_in_four_of_five():
    n, changed, margin = 1000, 0.12, 0.05
    drop = visible_drop(n, changed, margin)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n, [(changed + drop) / 2, (changed - drop) / 2, 1 - changed], 2000)
    failed = np.mean([score_interval(int(a), int(b), n)[1] < -margin for a, b, _ in drawn])
    assert failed == pytest.approx(0.8, abs=0.03)
    assert visible_drop(4000, changed, margin) < drop < visible_drop(300, changed, margin)


def test_exact_numbers():
    assert binomial_cdf(3, 20, 0.1) == pytest.approx(0.8670467, abs=1e-6)
    assert binomial_cdf(0, 10, 0.0) == binomial_cdf(10, 10, 0.5) == 1.0
    assert (items_without_loss(0.02, 0.05), items_without_loss(0.05, 0.05)) == (149, 59)
    for lost in (0, 1, 4):
        bound = upper_bound(lost, 300, 0.05)
        assert binomial_cdf(lost, 300, bound) == pytest.approx(0.05, abs=1e-9)
    assert upper_bound(10, 10, 0.05) == 1.0
