"""Every method against a literal transcription of its paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from additive.merge.building import build_method
from additive.merge.parameter import as_delta
from additive.testing import random_stack
from tests.oracles import papers

SHAPES = [(12, 9), (7, 20), (17,)]


def _ours(name, stack, **parameters):
    method = build_method(name, parameters)
    return as_delta(method.merge(stack), stack, method).dense().double().numpy()


def _stack(shape, weights=(1.0, 1.0, 1.0)):
    stack = replace(random_stack(shape, len(weights), seed=sum(shape)), weights=weights)
    stack = replace(stack, total=sum(weights))
    return stack, [delta.double().numpy() for delta in stack.dense()]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 2.0, 0.25)])
def test_sums(shape, weights):
    stack, deltas = _stack(shape, weights)
    for name, oracle in (("task_arithmetic", papers.task_arithmetic), ("linear", papers.linear)):
        np.testing.assert_allclose(_ours(name, stack), oracle(deltas, weights), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.05, 0.2, 0.7, 1.0])
def test_ties(shape, density):
    stack, deltas = _stack(shape)
    expected = papers.ties(deltas, density)
    assert 0 < np.count_nonzero(expected) <= expected.size
    np.testing.assert_allclose(_ours("ties", stack, density=density), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 2.0, 0.25)])
def test_dare(shape, density, weights):
    stack, deltas = _stack(shape, weights)
    uniforms = [stack.uniform(source).numpy() for source in stack.sources]
    for name, oracle in (("dare_linear", papers.dare), ("dare_ties", papers.dare_ties)):
        found = _ours(name, stack, density=density)
        expected = oracle(deltas, weights, uniforms, density)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_weighted_votes():
    """A heavier source wins an election, and a negative weight votes the other way."""
    stack, deltas = _stack((6, 5), (3.0, 1.0, 1.0))
    expected = papers.elect_and_mean(deltas, (3.0, 1.0, 1.0))
    np.testing.assert_allclose(_ours("ties", stack, density=1.0), expected, rtol=1e-4, atol=1e-7)
    flipped, _ = _stack((6, 5), (3.0, -1.0, 1.0))
    signs = papers.elect_and_mean([deltas[0], -deltas[1], deltas[2]], (3.0, 1.0, 1.0))
    np.testing.assert_allclose(_ours("ties", flipped, density=1.0), signs, rtol=1e-4, atol=1e-7)


def test_draws_are_uniform_and_apart():
    """Means, variances and correlations of masks of neighbouring sources and parameters."""
    from additive.merge.draws import Draws

    one = Draws(0, "a").uniform("x", (400, 250)).double().numpy()
    assert abs(one.mean() - 0.5) < 0.005
    assert abs(one.var() - 1 / 12) < 0.002
    for other in (Draws(0, "a").uniform("y", (400, 250)), Draws(0, "b").uniform("x", (400, 250)), Draws(1, "a").uniform("x", (400, 250))):
        correlation = np.corrcoef(one.reshape(-1), other.double().numpy().reshape(-1))[0, 1]
        assert abs(correlation) < 0.02
