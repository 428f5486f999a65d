"""Interference before merging: what the deltas alone say about how well they will add up.

Per parameter: norms, cosines, shared directions, sign conflicts. Low-rank sources are measured on
their factors in core space; of anything else a few tiles are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from additive.deltas.model import LowRank
from additive.deltas.tiles import tiles
from additive.merge.core import core_of
from additive.merge.findings import Finding, find
from additive.merge.measures import Measures, Pair, overlap, singular_task_interference
from additive.merge.methods.svc import accumulation
from additive.merge.stack import DeltaStack
from additive.merge.stacks import Sources
from additive.merge.threads import each, worker_count

_SAMPLED_TILES = 4


@dataclass(frozen=True)
class Diagnosis:
    """What was measured: by parameter, over all of them, and in sentences.

    sources  names, in the order of the tables
    whole    over all parameters, weighted by ‖τᵢ‖·‖τⱼ‖ (norms: root of the sum of squares)
    """

    sources: tuple[str, ...]
    parameters: Mapping[str, Measures]
    whole: Measures
    findings: tuple[Finding, ...]


def diagnose(opened: Sources, seed: int = 0, workers: int | None = None) -> Diagnosis:
    """Measure the interference of opened sources; the base's weights are not needed for low-rank
    ones.

    Example:
        diagnose(open_sources(recipe, open_base(directory))).findings
    """
    names = opened.parameters()
    count = len(opened.sources)

    def measure(name: str) -> Measures:
        return _measure(opened.stack(name, seed), opened.touching(name), count)

    measured = dict(zip(names, each(measure, names, workers or worker_count()), strict=True))
    sources = tuple(source.name for source in opened.sources)
    whole = summarise(list(measured.values()), count)
    return Diagnosis(sources, measured, whole, find(sources, whole, measured))


def _measure(stack: DeltaStack, positions: Sequence[int], count: int) -> Measures:
    low_rank = len(stack.shape) == 2 and all(isinstance(d, LowRank) for d in stack.deltas)
    blocks = _sample(stack)
    matrices = core_of(stack).matrices if low_rank else tuple(block.double() for block in blocks)
    share = 1.0 if low_rank else _share(stack)
    norms = [0.0] * count
    for position, matrix in zip(positions, matrices, strict=True):
        norms[position] = math.sqrt(matrix.square().sum().item() / share)
    pairs = [
        Pair(
            first=positions[i],
            second=positions[j],
            cosine=_cosine(matrices[i], matrices[j]),
            left=overlap(matrices[i], matrices[j]) if low_rank else None,
            right=overlap(matrices[i].T, matrices[j].T) if low_rank else None,
            conflicts=_conflicts(blocks[i], blocks[j]),
        )
        for i, j in combinations(range(len(positions)), 2)
    ]
    interference = singular_task_interference(matrices) if low_rank and pairs else None
    piled = _piled(matrices) if low_rank and pairs else None
    return Measures(tuple(norms), tuple(pairs), interference, piled)


def _sample(stack: DeltaStack) -> list[Tensor]:
    """The same few evenly spaced tiles of every delta."""
    spans = list(tiles(stack.shape))
    step = max(1, len(spans) // _SAMPLED_TILES)
    chosen = spans[step // 2 :: step][:_SAMPLED_TILES]
    return [torch.cat([d.rows(a, b).dense() for a, b in chosen]) for d in stack.deltas]


def _share(stack: DeltaStack) -> float:
    return _sample_rows(stack) / max(sum(b - a for a, b in tiles(stack.shape)), 1)


def _sample_rows(stack: DeltaStack) -> int:
    spans = list(tiles(stack.shape))
    step = max(1, len(spans) // _SAMPLED_TILES)
    return sum(b - a for a, b in spans[step // 2 :: step][:_SAMPLED_TILES])


def _cosine(one: Tensor, other: Tensor) -> float:
    size = torch.linalg.norm(one) * torch.linalg.norm(other)
    return ((one * other).sum() / size).item() if size > 0 else 0.0


def _conflicts(one: Tensor, other: Tensor) -> float:
    """The share of |δᵢδⱼ| that points in opposite directions: 0.5 for unrelated deltas."""
    product = one * other
    size = product.abs().sum()
    return (product.clamp(max=0).abs().sum() / size).item() if size > 0 else 0.0


def _piled(matrices: Sequence[Tensor]) -> float:
    """The largest over-accumulation sʳ of any source in the ten strongest directions of the sum."""
    total = torch.stack(list(matrices)).sum(dim=0)
    U = torch.linalg.svd(total, full_matrices=False)[0][:, :10]
    return max(accumulation(U, total, matrix).max().item() for matrix in matrices)


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
        max((m.piled for m in measured if m.piled is not None), default=None),
    )


def _mean_pair(measured: Sequence[Measures], first: int, second: int) -> Pair:
    found = [
        (pair, m.norms[first] * m.norms[second])
        for m in measured
        for pair in m.pairs
        if (pair.first, pair.second) == (first, second)
    ]
    return Pair(
        first,
        second,
        _mean([(pair.cosine, weight) for pair, weight in found]) or 0.0,
        _mean([(pair.left, weight) for pair, weight in found]),
        _mean([(pair.right, weight) for pair, weight in found]),
        _mean([(pair.conflicts, weight) for pair, weight in found]) or 0.0,
    )


def _mean(values: Sequence[tuple[float | None, float]]) -> float | None:
    known = [(value, weight) for value, weight in values if value is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
