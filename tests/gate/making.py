"""Results made by hand: a model's scores over numbered items."""

from __future__ import annotations

from additive.types.results import ItemScore, SuiteResult


def result(scores, model="model", suite="math", clusters=None):
    """A result with these scores; items are named by their place."""
    return SuiteResult(
        suite,
        model,
        tuple(
            ItemScore(str(i), "p", float(score), cluster=clusters[i] if clusters else None)
            for i, score in enumerate(scores)
        ),
    )


def paired(b10, b01, n, right=None):
    """(reference, candidate) scores with these counts of changed items; the rest agree."""
    both = (n - b10 - b01) // 2 if right is None else right
    wrong = n - b10 - b01 - both
    reference = [1] * b10 + [0] * b01 + [1] * both + [0] * wrong
    candidate = [0] * b10 + [1] * b01 + [1] * both + [0] * wrong
    return reference, candidate
