"""One plain sentence per finding of a diagnosis, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from additive.merge.measures import Measures, Pair

# Where research and arithmetic put the first signs of trouble. Interference alone was compared with
# measured merges: docs/diagnose.md says how, and what it says of the others.
_LONGER, _ALIKE, _OPPOSED, _SHARED, _PILED, _SIGNS = 3.0, 0.25, -0.1, 0.3, 1.8, 0.55
_INTERFERING, _OVER_UNRELATED = 0.15, 1.5


@dataclass(frozen=True)
class Finding:
    """A sentence and the way out; `kind` is `norms`, `alike`, `opposed`, `shared`,
    `interference`, `signs`, `piled`, `quiet` or `alone`.
    """

    kind: str
    sentence: str
    help: str


def find(
    sources: tuple[str, ...],
    whole: Measures,
    parameters: Mapping[str, Measures],
    layers: Mapping[str, Measures],
) -> tuple[Finding, ...]:
    """All findings; `quiet` when there is nothing to say, `alone` of a single source."""
    if len(sources) == 1:
        return (
            Finding(
                "alone",
                f"{sources[0]} alone meets no other delta",
                f"name another domain beside it: additive diagnose {sources[0]} OTHER",
            ),
        )
    pairs = _pairs(sources, whole, layers)
    found = (*_norms(sources, whole), *pairs, *_piled(whole, parameters))
    if found:
        return found
    quiet = Finding(
        "quiet",
        "the deltas are of like size and nearly orthogonal",
        "merge them as they are, and check the merge: deltas do not show everything",
    )
    return (quiet,)


def _norms(sources: tuple[str, ...], whole: Measures) -> Iterator[Finding]:
    trained = {name: norm for name, norm in zip(sources, whole.norms, strict=True) if norm > 0}
    if len(trained) < 2:
        return
    longest, shortest = max(trained, key=trained.__getitem__), min(trained, key=trained.__getitem__)
    ratio = trained[longest] / trained[shortest]
    if ratio >= _LONGER:
        yield Finding(
            "norms",
            f"{longest} is {ratio:.1f} times as long as {shortest}: their sum is mostly {longest}",
            f"if {shortest} loses by it, give {longest} a smaller weight, balance the norms, or"
            " merge an earlier snapshot of it",
        )


def _pairs(
    sources: tuple[str, ...], whole: Measures, layers: Mapping[str, Measures]
) -> Iterator[Finding]:
    """The first that fits of every pair: the rarer and plainer ones come first."""
    for pair in whole.pairs:
        names = f"{sources[pair.first]} and {sources[pair.second]}"
        for say in (_direction, _shared, _interfering, _signs):
            found = say(names, pair, layers)
            if found is not None:
                yield found
                break


def _direction(names: str, pair: Pair, layers: Mapping[str, Measures]) -> Finding | None:
    if pair.cosine >= _ALIKE:
        return Finding(
            "alike",
            f"{names} push the same way (cosine {pair.cosine:.2f}{_most(pair, layers, _along)}):"
            " their sum overshoots",
            "lower the scale, or use svc, which counts a shared direction once",
        )
    if pair.cosine <= _OPPOSED:
        return Finding(
            "opposed",
            f"{names} undo part of each other (cosine {pair.cosine:.2f}"
            f"{_most(pair, layers, _against)})",
            "look for contradicting examples in their data; no weight adds what the other takes",
        )
    return None


def _shared(names: str, pair: Pair, layers: Mapping[str, Measures]) -> Finding | None:
    if _overlap(pair) < _SHARED:
        return None
    side = "outputs" if (pair.left or 0.0) >= (pair.right or 0.0) else "inputs"
    return Finding(
        "shared",
        f"{names} share {_overlap(pair):.0%} of their {side}{_most(pair, layers, _overlap)}",
        "tsv_m or pico keep shared directions apart",
    )


def _interfering(names: str, pair: Pair, layers: Mapping[str, Measures]) -> Finding | None:
    if pair.interference is None or pair.unrelated is None:
        return None
    if pair.interference < max(_INTERFERING, _OVER_UNRELATED * pair.unrelated):
        return None
    return Finding(
        "interference",
        f"{names} read and write along each other's directions (interference"
        f" {pair.interference:.2f}{_most(pair, layers, _interference)}; {pair.unrelated:.2f} were"
        " they unrelated)",
        "look at both in the check of their merge; if one loses, merge an earlier snapshot, or"
        " train it with more recall and prompts that are told apart",
    )


def _signs(names: str, pair: Pair, layers: Mapping[str, Measures]) -> Finding | None:
    if pair.conflicts < _SIGNS:
        return None
    return Finding(
        "signs",
        f"{names} pull {pair.conflicts:.0%} of what both change in opposite directions"
        f"{_most(pair, layers, _opposite)}",
        "ties lets the majority of each weight decide",
    )


def _most(pair: Pair, layers: Mapping[str, Measures], of: Callable[[Pair], float]) -> str:
    """`, most in layer 7`, when there are several layers."""
    values = {
        name: of(found)
        for name, layer in layers.items()
        for found in layer.pairs
        if name.isdigit() and (found.first, found.second) == (pair.first, pair.second)
    }
    return f", most in layer {max(values, key=values.__getitem__)}" if len(values) > 1 else ""


def _along(pair: Pair) -> float:
    return pair.cosine


def _against(pair: Pair) -> float:
    return -pair.cosine


def _overlap(pair: Pair) -> float:
    return max(pair.left or 0.0, pair.right or 0.0)


def _interference(pair: Pair) -> float:
    return pair.interference or 0.0


def _opposite(pair: Pair) -> float:
    return pair.conflicts


def _piled(whole: Measures, parameters: Mapping[str, Measures]) -> Iterator[Finding]:
    if whole.piled is None or whole.piled < _PILED:
        return
    worst = max(parameters, key=lambda name: parameters[name].piled or 0.0)
    yield Finding(
        "piled",
        f"in {worst} the sum has {whole.piled:.1f} times as much of a direction as any one source",
        "use svc, which brings it down, or a scale below 1",
    )
