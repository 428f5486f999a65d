"""One plain sentence per finding of a diagnosis, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from additive.merge.measures import Measures, Pair

# Where research and arithmetic put the first signs of trouble; measured against merges in docs.
_LONGER, _ALIKE, _OPPOSED, _SHARED, _PILED, _SIGNS = 3.0, 0.25, -0.1, 0.3, 1.8, 0.55


@dataclass(frozen=True)
class Finding:
    """A sentence and the way out; `kind` is `norms`, `alike`, `opposed`, `shared`, `signs`,
    `piled` or `quiet`.
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
    """All findings; `quiet` when there is nothing to say."""
    pairs = _pairs(sources, whole, layers)
    found = (*_norms(sources, whole), *pairs, *_piled(whole, parameters))
    if found:
        return found
    quiet = Finding(
        "quiet", "the deltas are of like size and nearly orthogonal", "merge them as they are"
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
            f"{longest} is {ratio:.1f} times as long as {shortest} and will drown it",
            f"give {longest} a smaller weight, balance the norms, or merge an earlier snapshot",
        )


def _pairs(
    sources: tuple[str, ...], whole: Measures, layers: Mapping[str, Measures]
) -> Iterator[Finding]:
    for pair in whole.pairs:
        names = f"{sources[pair.first]} and {sources[pair.second]}"
        if pair.cosine >= _ALIKE:
            yield Finding(
                "alike",
                f"{names} push the same way (cosine {pair.cosine:.2f}"
                f"{_most(pair, layers, _along)}): their sum overshoots",
                "lower the scale, or use svc, which counts a shared direction once",
            )
        elif pair.cosine <= _OPPOSED:
            yield Finding(
                "opposed",
                f"{names} undo each other (cosine {pair.cosine:.2f}"
                f"{_most(pair, layers, _against)})",
                "look for contradicting examples in their data; no weight keeps both",
            )
        elif max(pair.left or 0.0, pair.right or 0.0) >= _SHARED:
            side = "outputs" if (pair.left or 0.0) >= (pair.right or 0.0) else "inputs"
            share = max(pair.left or 0.0, pair.right or 0.0)
            yield Finding(
                "shared",
                f"{names} share {share:.0%} of their {side}{_most(pair, layers, _overlap)}",
                "tsv_m or pico keep shared directions apart",
            )
        elif pair.conflicts >= _SIGNS:
            yield Finding(
                "signs",
                f"{names} pull {pair.conflicts:.0%} of what both change in opposite directions",
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


def _piled(whole: Measures, parameters: Mapping[str, Measures]) -> Iterator[Finding]:
    if whole.piled is None or whole.piled < _PILED:
        return
    worst = max(parameters, key=lambda name: parameters[name].piled or 0.0)
    yield Finding(
        "piled",
        f"in {worst} one direction of the sum is {whole.piled:.1f} times what one source needs",
        "use svc, or a scale below 1",
    )
