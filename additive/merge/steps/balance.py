"""Norm balance: sources whose whole delta is much longer than the others' are shortened.

A source that is five times as long as the others decides every sum and every spectrum (DisTaC,
2025: mismatches of 5-7 cost up to 40 points). Long deltas are shrunk; short ones are not
stretched, since stretching adds noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from additive.merge.method import Step
from additive.merge.recipe import BuiltRecipe
from additive.types.digests import Digest


@dataclass(frozen=True)
class Balance(Step):
    """The step `balance`: weights times min(1, ‖median‖/‖τᵢ‖), from norms over the whole source.

    Cost: none where the norms are in the specialists' manifests.
    """

    def balance(self, lengths: Sequence[float]) -> tuple[float, ...]:
        """The factor of every source's weight."""
        return balance_factors(lengths)


def balance_factors(lengths: Sequence[float]) -> tuple[float, ...]:
    """min(1, median / length) for every source.

    >>> balance_factors([1.0, 2.0, 8.0])
    (1.0, 1.0, 0.25)
    """
    middle = median(lengths)
    return tuple(min(1.0, middle / length) if length > 0 else 1.0 for length in lengths)


def balanced(recipe: BuiltRecipe, lengths: Mapping[Digest, float]) -> BuiltRecipe:
    """The recipe with every weight multiplied by its source's balance factor.

    `lengths` has ‖τ‖ by source digest. The weights that come out are the recipe's own: they are in
    its plan and in the manifest like any others.
    """
    factors = balance_factors([lengths[source.digest] for source in recipe.sources])
    sources = tuple(
        replace(source, weight=source.weight * factor)
        for source, factor in zip(recipe.sources, factors, strict=True)
    )
    return replace(recipe, sources=sources)
