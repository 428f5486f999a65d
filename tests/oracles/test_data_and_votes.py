"""CtM and RegMean against literal transcriptions, SWUDI by what its authors promise of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from additive.deltas.model import Dense, LowRank
from additive.errors import CompatibilityError, UsageError
from additive.merge.core import core_of
from additive.merge.methods import METHODS
from additive.merge.recipe import build_method
from additive.testing import random_stack
from tests.oracles import papers

WEIGHTS = (1.0, 0.5, 2.0)


def _stack(shape=(24, 16), weights=WEIGHTS):
    stack = replace(random_stack(shape, len(weights), seed=9), weights=weights, total=sum(weights))
    dense = [d.scale * d.B.double().numpy() @ d.A.double().numpy() for d in stack.deltas]
    return stack, dense


def _lifted(method, stack):
    core = core_of(stack)
    return (core.left @ method.merge_core(core) @ core.right.T).numpy()


@pytest.mark.parametrize("shape", [(24, 16), (16, 40), (6, 5)])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"rank": 2}, {"density": 1.0, "beta": 0.0}, {"rank": 6, "density": 0.5, "beta": 0.75}],
)
def test_ctm(shape, parameters):
    stack, dense = _stack(shape)
    method = build_method("ctm", parameters)
    rank = min(parameters.get("rank", 4), *shape)
    expected = papers.ctm(dense, WEIGHTS, rank, method.density, method.beta)
    found = _lifted(method, stack)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    assert np.linalg.matrix_rank(found, tol=1e-9) <= rank


def test_ctm_without_a_rank_takes_the_largest_of_a_source():
    stack, _ = _stack()
    generator = torch.Generator().manual_seed(4)
    deltas = tuple(
        LowRank(torch.randn(24, r, generator=generator), torch.randn(r, 16, generator=generator))
        for r in (2, 5, 3)
    )
    dense = [delta.B.double().numpy() @ delta.A.double().numpy() for delta in deltas]
    method = build_method("ctm")
    expected = papers.ctm(dense, WEIGHTS, 5, method.density, method.beta)
    found = _lifted(method, replace(stack, deltas=deltas))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_ctm_of_one_source_without_trim_is_the_source():
    stack, dense = _stack(weights=(1.0,))
    found = _lifted(build_method("ctm", {"density": 1.0}), stack)
    np.testing.assert_allclose(found, dense[0], rtol=0, atol=1e-10)


ON_COORDINATES = {
    "core/ties": ({"density": 0.3}, lambda C, w, _: papers.elect_and_mean(_trim(C, 0.3), w)),
    "core/breadcrumbs": (
        {"density": 0.5, "gamma": 0.1},
        lambda C, w, _: papers.breadcrumbs(C, w, 0.5, 0.1),
    ),
    "core/consensus_ta": ({}, lambda C, w, _: papers.consensus_ta(C, w, 0.4, 2)),
    "core/dare_linear": ({"density": 0.5}, lambda C, w, u: papers.dare(C, w, u, 0.5)),
    "core/dare_ties": ({"density": 0.5}, lambda C, w, u: papers.dare_ties(C, w, u, 0.5)),
    "core/della": ({}, lambda C, w, u: papers.della(C, w, u, 0.6, 0.15)),
}


def test_every_method_on_core_matrices_has_its_paper_in_numpy():
    assert sorted(ON_COORDINATES) == [n for n in METHODS.names() if n.startswith("core/")]


def _trim(coordinates, density):
    return [papers._trim(C, density) for C in coordinates]


@pytest.mark.parametrize("shape", [(24, 16), (16, 40), (6, 5)])
@pytest.mark.parametrize("name", ON_COORDINATES)
def test_an_element_wise_method_on_core_matrices(name, shape):
    stack, dense = _stack(shape)
    parameters, oracle = ON_COORDINATES[name]

    def merge(coordinates):
        draws = [stack.rng.uniform(s, coordinates[0].shape).numpy() for s in stack.sources]
        return oracle(coordinates, WEIGHTS, draws)

    expected = papers.core_space(dense, merge)
    found = _lifted(build_method(name, parameters), stack)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert not np.allclose(expected, merge(dense), atol=1e-2 * np.abs(expected).max())


def test_on_coordinates_a_vote_without_a_trim_of_one_source_is_the_source():
    stack, dense = _stack(weights=(1.0,))
    found = _lifted(build_method("core/ties", {"density": 1.0}), stack)
    np.testing.assert_allclose(found, dense[0], rtol=0, atol=1e-6 * np.abs(dense[0]).max())


def _with_inputs(stack, seed=3):
    """The stack with Grams of real inputs, the inputs, and the basis of the stacked A."""
    A = np.vstack([delta.A.double().numpy() for delta in stack.deltas])
    generator = np.random.default_rng(seed)
    inputs = [generator.standard_normal((30 + 7 * i, A.shape[1])) for i in range(len(stack.deltas))]
    grams = tuple(torch.from_numpy((X @ A.T).T @ (X @ A.T) / len(X)) for X in inputs)
    return replace(stack, grams=grams), inputs, np.linalg.qr(A.T)[0]


@pytest.mark.parametrize("shape", [(24, 40), (24, 16), (8, 5)])
@pytest.mark.parametrize(("reduction", "ridge"), [(0.9, 1e-6), (1.0, 0.0), (0.3, 0.1)])
def test_regmean(shape, reduction, ridge):
    stack, dense = _stack(shape)
    stack, inputs, basis = _with_inputs(stack)
    method = build_method("regmean", {"reduction": reduction, "ridge": ridge})
    expected = papers.regmean(dense, WEIGHTS, inputs, basis, reduction, ridge)
    found = _lifted(method, stack)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_regmean_gives_a_direction_to_the_source_whose_inputs_use_it():
    """Two sources, two input directions, and each domain shows only one of them."""
    stack, _ = _stack((4, 4), (1.0, 1.0))
    both = torch.eye(4)[:2]
    wanted = [torch.tensor([[1.0], [0], [0], [0]]), torch.tensor([[0.0], [1], [0], [0]])]
    deltas = tuple(LowRank(column.expand(4, 2).contiguous(), both, 1.0) for column in wanted)
    first, second = torch.diag(torch.tensor([1.0, 0.0])), torch.diag(torch.tensor([0.0, 1.0]))
    grams = tuple(torch.kron(torch.ones(2, 2), G).double() for G in (first, second))
    stack = replace(stack, deltas=deltas, grams=grams)
    merged = build_method("regmean", {"reduction": 1.0, "ridge": 1e-9}).merge(stack).dense()
    torch.testing.assert_close(merged[:, 0], deltas[0].dense()[:, 0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(merged[:, 1], deltas[1].dense()[:, 1], rtol=1e-5, atol=1e-6)


def test_regmean_needs_grams_factors_and_amounts():
    stack, _ = _stack()
    method = build_method("regmean")
    with pytest.raises(UsageError, match="has no Gram matrices"):
        method.merge(stack)
    with pytest.raises(CompatibilityError) as caught:
        method.check_ranks("model.norm.weight", (4, None))
    assert "--rule 'model.norm.weight=linear'" in caught.value.help
    with pytest.raises(UsageError, match="negative"):
        method.check_weights((1.0, -0.5))


def test_swudi_sums_the_orthogonal_and_counts_copies_once():
    stack, _ = _stack((12, 10), (1.0, 1.0))
    eye = torch.eye(12)
    apart = tuple(
        LowRank(eye[:, 2 * i : 2 * i + 2], 3.0 * torch.eye(10)[2 * i : 2 * i + 2], 1.0)
        for i in range(2)
    )
    method = build_method("swudi", {"keep": 1.0})
    merged = method.merge(replace(stack, deltas=apart)).dense()
    torch.testing.assert_close(merged, apart[0].dense() + apart[1].dense(), rtol=1e-5, atol=1e-6)
    merged = method.merge(replace(stack, deltas=(apart[0], apart[0]))).dense()
    torch.testing.assert_close(merged, apart[0].dense(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("time", "share"), [(0.7, 1.0), (3.0, 2 / 3), (300.0, 1 / 3)])
def test_swudi_is_the_published_form_in_units_of_its_largest_eigenvalue(time, share):
    """Where every column is there; of fewer directions, as LoRA has them, ours keeps the share."""
    stack, _ = _stack((20, 9), (1.0, 1.0, 1.0))
    generator = torch.Generator().manual_seed(11)
    deltas = [torch.randn(20, 9, generator=generator) for _ in range(3)]
    published, largest = papers.swudi_published([d.double().numpy() for d in deltas], time, share)
    method = build_method("swudi", {"steps": time * largest, "keep": share})
    found = method.merge(replace(stack, deltas=tuple(map(Dense, deltas)))).dense()
    np.testing.assert_allclose(found.numpy(), published, rtol=1e-5, atol=1e-5)


def test_swudi_of_endless_steps_is_the_minimum():
    """Nothing near it has a smaller objective."""
    stack, dense = _stack((12, 30), (1.0, 0.5, 2.0))
    found = _lifted(build_method("swudi", {"steps": 1e12, "keep": 1.0}), stack)

    def objective(tau):
        return sum(
            (((tau - w * d) @ d.T) ** 2).sum() / (d**2).sum()
            for w, d in zip(WEIGHTS, dense, strict=True)
        )

    least = objective(found)
    generator = np.random.default_rng(0)
    for _ in range(20):
        aside = 1e-3 * np.abs(found).max() * generator.standard_normal(found.shape)
        assert objective(found + aside) > least
