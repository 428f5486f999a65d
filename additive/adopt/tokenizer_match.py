"""The words around the weights: a chat template and a vocabulary that are not the base's.

A specialist that was trained in another template answers worse in the base's, and ids of another
vocabulary mean other words. Where the folder brings neither there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from additive.artifacts.content import template_digest, vocabulary
from additive.errors import CompatibilityError
from additive.types.digests import short


def refuse_other_words(
    directory: Path, base_directory: Path, accept: Collection[str]
) -> tuple[str, ...]:
    """Compare template and vocabulary with the base's; what is accepted comes back in words.

    Raises: CompatibilityError for a difference that `accept` does not name.
    """
    accepted = []
    for kind, found, help in (
        (
            "vocabulary",
            _other_vocabulary(directory, base_directory),
            "train with the base's own tokenizer; if the difference was never trained"
            " (a padding token), --accept vocabulary",
        ),
        (
            "template",
            _other_template(directory, base_directory),
            "give the base this template; or --accept template, and it is asked in the base's",
        ),
    ):
        if found is None:
            continue
        if kind not in accept:
            raise CompatibilityError(found, where=str(directory), help=help)
        accepted.append(found)
    return tuple(accepted)


def _other_template(directory: Path, base_directory: Path) -> str | None:
    own, base = template_digest(directory), template_digest(base_directory)
    if own is None or own == base:
        return None
    theirs = short(base) if base else "none"
    return f"chat template is {short(own)}; the base has {theirs}"


def _other_vocabulary(directory: Path, base_directory: Path) -> str | None:
    own, base = vocabulary(directory), vocabulary(base_directory)
    if own is None or base is None or own == base:
        return None
    added, lost = _beyond(own, base), _beyond(base, own)
    if added or lost:
        return f"vocabulary has {_some(added)} more and {_some(lost)} fewer than the base"
    moved = [token for token in own if own[token] != base[token]]
    return f"vocabulary gives {_some(moved)} another id than the base"


def _beyond(one: Mapping[str, int], other: Mapping[str, int]) -> list[str]:
    return sorted(token for token in one if token not in other)


def _some(tokens: list[str]) -> str:
    if not tokens:
        return "no tokens"
    named = ", ".join(map(repr, tokens[:3])) + (", …" if len(tokens) > 3 else "")
    return f"{len(tokens)} token{'s' * (len(tokens) > 1)} ({named})"
