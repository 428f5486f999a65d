"""The size of a delta, parameter by parameter; recorded at freeze."""

from __future__ import annotations

import math

import torch

from additive.deltas.model import Delta, LowRank
from additive.deltas.source import DeltaSource
from additive.deltas.tiles import tiles


def delta_norm(delta: Delta) -> float:
    """The Frobenius norm ‖δ‖; of s·B·A from the factors' Gram matrices, in float64."""
    if isinstance(delta, LowRank):
        B, A = delta.B.double(), delta.A.double()
        square = torch.sum((B.T @ B) * (A @ A.T)).item()
        return abs(delta.scale) * math.sqrt(max(square, 0.0))
    total = 0.0
    for start, stop in tiles(delta.shape):
        block = delta.rows(start, stop).dense()
        total += torch.linalg.vector_norm(block, dtype=torch.float64).item() ** 2
    return math.sqrt(total)


def delta_norms(source: DeltaSource) -> dict[str, float]:
    """‖δ‖ of every trained parameter, in the base's order; a full fine-tune is streamed.

    Example: `delta_norms(open_deltas(directory, base, "math", digest))`
    """
    return {name: delta_norm(source.delta(name)) for name in source.parameters()}
