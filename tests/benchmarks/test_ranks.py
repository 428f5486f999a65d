"""Rank correlations of pairs: planted ones are found, and names carry none by chance."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks.ranks import correlations, interval, partial, places, shuffled

PAIRS = list(combinations(range(8), 2))


def _drawn(*shape):
    return np.random.default_rng(0).normal(size=(*shape, len(PAIRS)))


def test_correlations_are_scipys_seed_by_seed_and_nothing_for_what_is_constant():
    causes, effects = _drawn(2, 3), np.round(_drawn(2, 2)[::-1])
    found = correlations(causes, effects)
    for seed in range(2):
        for i in range(3):
            for j in range(2):
                expected = stats.spearmanr(causes[seed, i], effects[seed, j])[0]
                assert found[seed, i, j] == pytest.approx(expected)
    assert correlations(causes, np.ones_like(effects)) == pytest.approx(0)


def test_what_goes_by_the_other_cause_is_gone_when_that_is_held():
    held, own = _drawn(1, 2)[0]
    ranks = stats.rankdata(held) * 100
    causes = np.stack([held, own, ranks + own])[None]
    found = partial(causes, (ranks + 1e-3 * own)[None, None], 0)
    assert found[0, :, 0] == pytest.approx(0, abs=1e-9)
    both = partial(causes, causes[:, 1:2], 0)
    assert both[0, 1, 0] == pytest.approx(1)


def test_pairs_keep_their_members_under_any_names():
    order = [3, 1, 0, 2]
    pairs = list(combinations(range(4), 2))
    for (i, j), place in zip(pairs, places(order), strict=True):
        assert set(pairs[place]) == {order[i], order[j]}
    assert places(range(4)) == list(range(6))


def test_a_property_of_one_domain_is_no_news_of_its_pairs():
    """Seven pairs share each domain: what follows one domain is common among shuffles."""
    marked = np.array([[float(0 in pair) for pair in PAIRS]])[None]
    chance = shuffled(marked, marked, 8, 500)
    assert (chance >= 0.999).mean() == pytest.approx(1 / 8, abs=0.05)


def test_an_interval_over_seeds_holds_their_mean_and_one_seed_has_none():
    low, high = interval([0.2, 0.4, 0.6])
    assert (low + high) / 2 == pytest.approx(0.4)
    assert low < 0.2
    assert interval([0.3]) == (0.3, 0.3)
