"""Items that changed hands: what the specialist got right and the merge lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from additive.types.results import SuiteResult, pair

MOST = 20


@dataclass(frozen=True)
class Flip:
    """One lost item: what was asked, what was expected, what the two models said."""

    id: str
    prompt: str
    expected: str
    reference: str
    merged: str


@dataclass(frozen=True)
class Flips:
    """The first lost items of a suite, with the counts of all lost and all won ones."""

    suite: str
    items: tuple[Flip, ...]
    lost: int
    won: int


def flips_of(
    reference: SuiteResult,
    merged: SuiteResult,
    prompts: Mapping[str, str],
    expected: Mapping[str, str],
    *,
    most: int = MOST,
) -> Flips:
    """The items on which the merge scores below the reference, in the suite's order.

    `prompts` and `expected` are by item id; an id that they lack is printed as an empty text.

    Raises: CompatibilityError when the two results are not of the same items and prompts.
    """
    pairs = pair(reference, merged)
    lost = [item.id for item in pairs if item.candidate < item.reference]
    before = {item.id: item.answer for item in reference.items}
    after = {item.id: item.answer for item in merged.items}
    items = tuple(
        Flip(key, prompts.get(key, ""), expected.get(key, ""), before[key], after[key])
        for key in lost[:most]
    )
    won = sum(item.candidate > item.reference for item in pairs)
    return Flips(reference.suite, items, len(lost), won)
