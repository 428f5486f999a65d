"""Slow, literal transcriptions of the papers in NumPy, float64, one parameter at a time."""

from __future__ import annotations

import numpy as np


def task_arithmetic(deltas, weights):
    """Ilharco et al., 2023: the weighted sum of task vectors."""
    merged = np.zeros_like(deltas[0])
    for weight, delta in zip(weights, deltas):
        merged = merged + weight * delta
    return merged


def linear(deltas, weights):
    """Wortsman et al., 2022: the weighted average."""
    return task_arithmetic(deltas, weights) / sum(weights)


def ties(deltas, density):
    """Yadav et al., 2023, algorithm 1, per parameter: trim, elect, disjoint mean."""
    trimmed = [_trim(delta, density) for delta in deltas]
    return elect_and_mean(trimmed, [1.0] * len(deltas))


def _trim(delta, density):
    flat = np.abs(delta).reshape(-1)
    keep = max(1, int(density * flat.size + 1e-9))
    threshold = np.sort(flat)[::-1][keep - 1]
    return np.where(np.abs(delta) >= threshold, delta, 0.0)


def elect_and_mean(deltas, weights):
    """Element by element: the sign of the sum, then the weighted mean of the values that have it."""
    merged = np.zeros_like(deltas[0])
    for index in np.ndindex(*merged.shape):
        values = [(weight, delta[index]) for weight, delta in zip(weights, deltas)]
        elected = np.sign(sum(weight * value for weight, value in values))
        agreeing = [(w, v) for w, v in values if v != 0 and np.sign(v) == elected]
        if elected != 0 and agreeing:
            merged[index] = sum(w * v for w, v in agreeing) / sum(w for w, _ in agreeing)
    return merged


def dare(deltas, weights, uniforms, density):
    """Yu et al., 2024: drop with probability 1−p, divide by p, sum; the uniform draws are given."""
    return task_arithmetic([_thin(d, u, density) for d, u in zip(deltas, uniforms)], weights)


def dare_ties(deltas, weights, uniforms, density):
    """DARE's masks, then TIES's election and disjoint mean."""
    thinned = [_thin(delta, draws, density) for delta, draws in zip(deltas, uniforms)]
    return elect_and_mean(thinned, weights)


def _thin(delta, draws, density):
    return np.where(draws < density, delta / density, 0.0)
