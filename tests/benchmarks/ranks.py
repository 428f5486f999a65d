"""Rank correlations between properties of pairs, where pairs share their members.

28 pairs of 8 domains are no 28 independent cases, and seeds that train the same domains are no
independent samples of domains. So chance is what remains when the domains' names are shuffled on
one side, the same way in every seed (Mantel, 1967).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy import stats


def ranked(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, centred and of length 1; zeros where all values are equal."""
    ranks = stats.rankdata(values, axis=-1)
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=-1, keepdims=True))
    return np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0)


def correlations(causes: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """Spearman's ρ of every cause with every effect, seed by seed.

    causes (seeds, p, pairs), effects (seeds, q, pairs) -> (seeds, p, q)
    """
    return ranked(causes) @ ranked(effects).swapaxes(-1, -2)


def partial(causes: np.ndarray, effects: np.ndarray, other: int) -> np.ndarray:
    """The same with one of the causes, z, held: (ρxy − ρxz·ρyz) / √((1 − ρxz²)(1 − ρyz²)); 0 for z.

    causes (seeds, p, pairs), effects (seeds, q, pairs) -> (seeds, p, q)
    """
    rho, held = correlations(causes, effects), causes[:, other : other + 1]
    of_x, of_y = correlations(causes, held), correlations(held, effects)
    rest = np.sqrt(np.clip((1 - of_x**2) * (1 - of_y**2), 0, None))
    left = rho - of_x * of_y
    return np.divide(left, rest, out=np.zeros_like(left), where=rest > 1e-9)


def shuffled(
    causes: np.ndarray, effects: np.ndarray, members: int, draws: int, seed: int = 0
) -> np.ndarray:
    """The mean over seeds of the correlations, for so many shuffles of the members' names.

    Pairs are in the order of `combinations(range(members), 2)`. Gives (draws, p, q).
    """
    rng = np.random.default_rng(seed)
    left, right = ranked(causes), ranked(effects).swapaxes(-1, -2)
    found = [(left @ right[:, places(rng.permutation(members))]).mean(axis=0) for _ in range(draws)]
    return np.stack(found)


def places(order: Sequence[int] | np.ndarray) -> list[int]:
    """Where the pairs of renamed members stand: pair (i, j) becomes (order[i], order[j])."""
    known = {pair: place for place, pair in enumerate(combinations(range(len(order)), 2))}
    return [
        known[min(order[i], order[j]), max(order[i], order[j])]
        for i, j in combinations(range(len(order)), 2)
    ]


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The 90 % t-interval of a mean over seeds; the value itself twice when there is one."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean
    error = float(stats.sem(values) * stats.t.ppf(0.95, len(values) - 1))
    return mean - error, mean + error
