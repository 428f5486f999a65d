"""Every method against a literal transcription of its paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from additive.merge.apply import as_delta
from additive.merge.methods import METHODS
from additive.merge.recipe import build_method
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


def test_every_method_of_ours_has_its_paper_in_numpy():
    """But for PEFT's factor-wise sum, which PEFT itself computes in `test_peft_linear`."""
    ours = {name for name in METHODS.names() if "/" not in name} - {"peft_linear"}
    written = {"dare_linear": "dare"}
    assert {name for name in ours if not hasattr(papers, written.get(name, name))} == set()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 2.0, 0.25)])
def test_sums(shape, weights):
    stack, deltas = _stack(shape, weights)
    for name, oracle in (("task_arithmetic", papers.task_arithmetic), ("linear", papers.linear)):
        np.testing.assert_allclose(
            _ours(name, stack), oracle(deltas, weights), rtol=1e-4, atol=1e-7
        )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.05, 0.2, 0.7, 1.0])
def test_ties(shape, density):
    stack, deltas = _stack(shape)
    expected = papers.ties(deltas, density)
    assert 0 < np.count_nonzero(expected) <= expected.size
    np.testing.assert_allclose(
        _ours("ties", stack, density=density), expected, rtol=1e-4, atol=1e-7
    )


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
    from additive.merge.method import Draws

    one = Draws(0, "a").uniform("x", (400, 250)).double().numpy()
    assert abs(one.mean() - 0.5) < 0.005
    assert abs(one.var() - 1 / 12) < 0.002
    for other in (
        Draws(0, "a").uniform("y", (400, 250)),
        Draws(0, "b").uniform("x", (400, 250)),
        Draws(1, "a").uniform("x", (400, 250)),
    ):
        correlation = np.corrcoef(one.reshape(-1), other.double().numpy().reshape(-1))[0, 1]
        assert abs(correlation) < 0.02


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("density", "gamma"), [(0.85, 0.01), (0.3, 0.2), (1.0, 0.0), (0.5, 0.5)])
def test_breadcrumbs(shape, density, gamma):
    stack, deltas = _stack(shape, (1.0, 0.5, 2.0))
    found = _ours("breadcrumbs", stack, density=density, gamma=gamma)
    expected = papers.breadcrumbs(deltas, stack.weights, density, gamma)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("density", "epsilon"), [(0.6, 0.15), (0.5, 0.49), (1.0, 0.0), (0.3, 0.0)])
def test_della(shape, density, epsilon):
    stack, deltas = _stack(shape, (1.0, 0.5, 2.0))
    uniforms = [stack.uniform(source).numpy() for source in stack.sources]
    found = _ours("della", stack, density=density, epsilon=epsilon)
    expected = papers.della(deltas, stack.weights, uniforms, density, epsilon)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_della_keeps_the_expectation():
    """Large and small elements alike; one factor for all would give 1.3 times and 0.3 times."""
    import torch

    from additive.merge.method import Draws
    from additive.merge.methods.della import keep_probability

    delta = torch.linspace(0.01, 1.0, 50).repeat(4000, 1)
    probability = keep_probability(delta, 0.5, 0.4)
    draws = Draws(0, "p").uniform("s", (4000, 50))
    mean = torch.where(draws < probability, delta / probability, 0.0).mean(dim=0) / delta[0]
    assert (mean - 1.0).abs().max() < 0.2
    assert abs(mean[:10].mean() - 1.0) < 0.05
    assert abs(mean[-10:].mean() - 1.0) < 0.02


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("threshold", "agreement"), [(0.4, 2), (0.2, 1), (1.0, 3), (0.6, 9)])
def test_consensus_ta(shape, threshold, agreement):
    stack, deltas = _stack(shape, (1.0, 0.5, 2.0))
    found = _ours("consensus_ta", stack, threshold=threshold, agreement=agreement)
    expected = papers.consensus_ta(deltas, stack.weights, threshold, agreement)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_localize_and_stitch():
    """Up to the threshold's 8 bits: at most a few elements more than the paper keeps."""
    stack, deltas = _stack((60, 50), (1.0, 0.5, 2.0))
    found = _ours("localize_and_stitch", stack, density=0.1)
    expected = papers.localize_and_stitch(deltas, stack.weights, 0.1)
    same = np.isclose(found, expected, rtol=1e-4, atol=1e-7)
    assert same.mean() > 0.99
    assert np.count_nonzero(found) >= np.count_nonzero(expected)
