"""Interference before merging: what the deltas alone say about how well they will add up.

Per parameter, per layer and over all of them: norms, cosines, shared directions, sign conflicts,
over-accumulation. Low-rank sources are measured on their factors; of anything else a few tiles are
read, and signs are compared on the same few tiles.

One plain sentence per finding of a diagnosis, with what to do about it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from additive.deltas.model import LowRank, tiles
from additive.merge.core import (
    Triangles,
    keep_triangles,
    read_triangles,
    triangles_file,
    triangles_of,
)
from additive.merge.measures import Measures, Pair, Spectra, conflicts, spectra
from additive.merge.method import DeltaStack
from additive.merge.sources import Sources
from additive.merge.threads import each, worker_count

# Where research and arithmetic put the first signs of trouble. Interference alone was compared with
# measured merges: docs/diagnose.md says how, and what it says of the others.
_LONGER, _ALIKE, _OPPOSED, _SHARED, _OVER_ACCUMULATION, _SIGNS = 3.0, 0.25, -0.1, 0.3, 1.8, 0.55


_INTERFERING, _OVER_UNRELATED = 0.15, 1.5


@dataclass(frozen=True)
class InterferenceFinding:
    """A sentence and the way out; `kind` is `norms`, `aligned`, `opposed_directions`, `overlap`,
    `interference`, `sign_conflict`, `over_accumulation`, `none` or `none`.
    """

    kind: str
    sentence: str
    help: str


def find(
    sources: tuple[str, ...],
    whole: Measures,
    parameters: Mapping[str, Measures],
    layers: Mapping[str, Measures],
) -> tuple[InterferenceFinding, ...]:
    """All findings; `none` when there is nothing to say, `none` of a single source."""
    if len(sources) == 1:
        return (
            InterferenceFinding(
                "none",
                f"{sources[0]} alone meets no other delta",
                f"name another domain beside it: additive diagnose {sources[0]} OTHER",
            ),
        )
    pairs = _pairs(sources, whole, layers)
    found = (*_norms(sources, whole), *pairs, *_piled(whole, parameters))
    if found:
        return found
    quiet = InterferenceFinding(
        "none",
        "the deltas are of like size and nearly orthogonal",
        "merge them as they are, and check the merge: deltas do not show everything",
    )
    return (quiet,)


def _norms(sources: tuple[str, ...], whole: Measures) -> Iterator[InterferenceFinding]:
    trained = {name: norm for name, norm in zip(sources, whole.norms, strict=True) if norm > 0}
    if len(trained) < 2:
        return
    longest, shortest = max(trained, key=trained.__getitem__), min(trained, key=trained.__getitem__)
    ratio = trained[longest] / trained[shortest]
    if ratio >= _LONGER:
        yield InterferenceFinding(
            "norms",
            f"{longest} is {ratio:.1f} times as long as {shortest}: their sum is mostly {longest}",
            f"if {shortest} loses by it, give {longest} a smaller weight, balance the norms, or"
            " merge an earlier snapshot of it",
        )


def _pairs(
    sources: tuple[str, ...], whole: Measures, layers: Mapping[str, Measures]
) -> Iterator[InterferenceFinding]:
    """The first that fits of every pair: the rarer and plainer ones come first."""
    for pair in whole.pairs:
        names = f"{sources[pair.first]} and {sources[pair.second]}"
        for say in (_direction, _shared, _interfering, _signs):
            found = say(names, pair, layers)
            if found is not None:
                yield found
                break


def _direction(
    names: str, pair: Pair, layers: Mapping[str, Measures]
) -> InterferenceFinding | None:
    if pair.cosine >= _ALIKE:
        return InterferenceFinding(
            "aligned",
            f"{names} push the same way (cosine {pair.cosine:.2f}{_most(pair, layers, _along)}):"
            " their sum overshoots",
            "lower the scale, or use svc, which counts a shared direction once",
        )
    if pair.cosine <= _OPPOSED:
        return InterferenceFinding(
            "opposed_directions",
            f"{names} undo part of each other (cosine {pair.cosine:.2f}"
            f"{_most(pair, layers, _against)})",
            "look for contradicting examples in their data; no weight adds what the other takes",
        )
    return None


def _shared(names: str, pair: Pair, layers: Mapping[str, Measures]) -> InterferenceFinding | None:
    if _overlap(pair) < _SHARED:
        return None
    side = "outputs" if (pair.left or 0.0) >= (pair.right or 0.0) else "inputs"
    return InterferenceFinding(
        "overlap",
        f"{names} share {_overlap(pair):.0%} of their {side}{_most(pair, layers, _overlap)}",
        "tsv_m or pico keep shared directions apart",
    )


def _interfering(
    names: str, pair: Pair, layers: Mapping[str, Measures]
) -> InterferenceFinding | None:
    if pair.interference is None or pair.unrelated is None:
        return None
    if pair.interference < max(_INTERFERING, _OVER_UNRELATED * pair.unrelated):
        return None
    return InterferenceFinding(
        "interference",
        f"{names} read and write along each other's directions (interference"
        f" {pair.interference:.2f}{_most(pair, layers, _interference)}; {pair.unrelated:.2f} were"
        " they unrelated)",
        "look at both in the check of their merge; if one loses, merge an earlier snapshot, or"
        " train it with more recall and prompts that are told apart",
    )


def _signs(names: str, pair: Pair, layers: Mapping[str, Measures]) -> InterferenceFinding | None:
    if pair.conflicts < _SIGNS:
        return None
    return InterferenceFinding(
        "sign_conflict",
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


def _piled(whole: Measures, parameters: Mapping[str, Measures]) -> Iterator[InterferenceFinding]:
    if whole.over_accumulation is None or whole.over_accumulation < _OVER_ACCUMULATION:
        return
    worst = max(parameters, key=lambda name: parameters[name].over_accumulation or 0.0)
    yield InterferenceFinding(
        "over_accumulation",
        f"in {worst} the sum has {whole.over_accumulation:.1f} times as much of a direction"
        " as any one source",
        "use svc, which brings it down, or a scale below 1",
    )


_SAMPLED_TILES = 4


_SIGN_CONFLICT = 1 << 16


_LAYER = re.compile(r"\.(\d+)\.")


OUTSIDE = "outside"


@dataclass(frozen=True)
class Diagnosis:
    """What was measured: by parameter, by layer, over all of them, and in sentences.

    sources  names, in the order of the tables
    layers   by the first number in a parameter's name; `outside` holds those without one
    whole    over all parameters, weighted by ‖τᵢ‖·‖τⱼ‖ (norms: root of the sum of squares)
    """

    sources: tuple[str, ...]
    parameters: Mapping[str, Measures]
    layers: Mapping[str, Measures]
    whole: Measures
    findings: tuple[InterferenceFinding, ...]


def diagnose(
    opened: Sources, seed: int = 0, workers: int | None = None, cache: Path | None = None
) -> Diagnosis:
    """Measure the interference of opened sources; the base's weights are not needed for low-rank
    ones.

    cache  the directory given to `prepare`: factors that were decomposed there are not decomposed
           again, and what is decomposed here is kept there

    Example:
        diagnose(open_sources(recipe, open_base(directory))).findings
    """
    names = opened.parameters()
    count = len(opened.sources)
    file = triangles_file(cache, [source.digest for source in opened.sources]) if cache else None
    known = read_triangles(file) if file else {}

    def measure(name: str) -> tuple[Measures, Triangles | None]:
        return _measure(opened.stack(name, seed), opened.touching(name), count, known.get(name))

    found = dict(zip(names, each(measure, names, workers or worker_count()), strict=True))
    used = {name: triangles for name, (_, triangles) in found.items() if triangles is not None}
    if file and any(known.get(name) is not triangles for name, triangles in used.items()):
        keep_triangles(file, used)
    return _diagnosis(opened, {name: measures for name, (measures, _) in found.items()})


def _diagnosis(opened: Sources, measured: Mapping[str, Measures]) -> Diagnosis:
    count = len(opened.sources)
    sources = tuple(source.name for source in opened.sources)
    layers = {
        layer: summarise([measured[name] for name in members], count)
        for layer, members in _by_layer(list(measured)).items()
    }
    whole = summarise(list(measured.values()), count)
    return Diagnosis(sources, measured, layers, whole, find(sources, whole, measured, layers))


def _by_layer(names: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        number = _LAYER.search(name)
        found.setdefault(number[1] if number else OUTSIDE, []).append(name)
    return dict(sorted(found.items(), key=lambda pair: (not pair[0].isdigit(), _order(pair[0]))))


def _order(layer: str) -> int:
    return int(layer) if layer.isdigit() else 0


def _measure(
    stack: DeltaStack, positions: Sequence[int], count: int, known: Triangles | None
) -> tuple[Measures, Triangles | None]:
    low = [delta for delta in stack.deltas if isinstance(delta, LowRank)]
    if not stack.is_matrix or len(low) < len(stack.deltas):
        return _on_tiles(stack, positions, count), None
    triangles = known if known and known.fit(low) else triangles_of(low)
    return _on_factors(stack, spectra(low, triangles), positions, count), triangles


def _on_factors(
    stack: DeltaStack, found: Spectra, positions: Sequence[int], count: int
) -> Measures:
    inner, signs = found.inner(), conflicts(_sample(stack, 1, _SIGN_CONFLICT))
    left, right = found.overlap(found.left), found.overlap(found.right)
    crossed, unrelated = found.interferences(), found.unrelated(stack.shape)
    norms = _source_norms(inner.diagonal().clamp(min=0).sqrt(), positions, count)
    cosines = _cosines(inner)
    pairs = tuple(
        Pair(
            first=positions[i],
            second=positions[j],
            cosine=cosines[i, j].item(),
            left=left[i, j].item(),
            right=right[i, j].item(),
            conflicts=signs[i, j].item(),
            interference=crossed[i, j].item(),
            unrelated=unrelated[i, j].item(),
        )
        for i, j in combinations(range(len(positions)), 2)
    )
    return Measures(
        norms,
        pairs,
        found.interference() if pairs else None,
        found.over_accumulation() if pairs else None,
    )


def _on_tiles(stack: DeltaStack, positions: Sequence[int], count: int) -> Measures:
    blocks = _sample(stack, _SAMPLED_TILES)
    X = torch.stack([block.double().reshape(-1) for block in blocks])
    inner, signs = X @ X.T, conflicts(blocks)
    share = X.shape[1] / max(math.prod(stack.shape), 1)
    norms = _source_norms((inner.diagonal() / share).sqrt(), positions, count)
    cosines = _cosines(inner)
    pairs = tuple(
        Pair(positions[i], positions[j], cosines[i, j].item(), None, None, signs[i, j].item())
        for i, j in combinations(range(len(positions)), 2)
    )
    return Measures(norms, pairs, None, None)


def _sample(stack: DeltaStack, most: int, elements: int | None = None) -> list[Tensor]:
    """The same few evenly spaced tiles of every delta, at most `elements` of each tile."""
    spans = list(tiles(stack.shape))
    count = min(most, len(spans))
    chosen = [spans[(2 * k + 1) * len(spans) // (2 * count)] for k in range(count)]
    if elements is not None:
        rows = max(1, elements // max(stack.shape[-1], 1))
        chosen = [(start, min(stop, start + rows)) for start, stop in chosen]
    return [torch.cat([d.rows(a, b).dense() for a, b in chosen]) for d in stack.deltas]


def _source_norms(found: Tensor, positions: Sequence[int], count: int) -> tuple[float, ...]:
    norms = [0.0] * count
    for position, norm in zip(positions, found.tolist(), strict=True):
        norms[position] = norm
    return tuple(norms)


def _cosines(inner: Tensor) -> Tensor:
    sizes = inner.diagonal().clamp(min=0).sqrt()
    size = torch.outer(sizes, sizes)
    return torch.where(size > 0, inner / size.clamp(min=1e-300), 0.0)


def summarise(measured: Sequence[Measures], count: int) -> Measures:
    """All parameters as one: norms add in squares, pairs are weighted by the product of their
    norms.
    """
    norms = tuple(math.sqrt(sum(m.norms[i] ** 2 for m in measured)) for i in range(count))
    pairs = tuple(_mean_pair(measured, i, j) for i, j in combinations(range(count), 2))
    return Measures(
        norms,
        pairs,
        _mean([(m.interference, sum(m.norms)) for m in measured]),
        max(
            (m.over_accumulation for m in measured if m.over_accumulation is not None), default=None
        ),
    )


def _mean_pair(measured: Sequence[Measures], first: int, second: int) -> Pair:
    found = [
        (pair, m.norms[first] * m.norms[second])
        for m in measured
        for pair in m.pairs
        if (pair.first, pair.second) == (first, second)
    ]

    def mean(of: Callable[[Pair], float | None]) -> float | None:
        return _mean([(of(pair), weight) for pair, weight in found])

    return Pair(
        first,
        second,
        mean(lambda pair: pair.cosine) or 0.0,
        mean(lambda pair: pair.left),
        mean(lambda pair: pair.right),
        mean(lambda pair: pair.conflicts) or 0.0,
        mean(lambda pair: pair.interference),
        mean(lambda pair: pair.unrelated),
    )


def _mean(values: Sequence[tuple[float | None, float]]) -> float | None:
    known = [(value, weight) for value, weight in values if value is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
