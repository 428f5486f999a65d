"""Methods in core space against their papers on full matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from additive.deltas.model import Dense, LowRank
from additive.merge.apply import as_delta
from additive.merge.core import core_of
from additive.merge.recipe import build_method
from additive.testing import random_stack
from tests.oracles import papers

CORE = [(40, 30, (4, 3, 5)), (9, 50, (4, 6, 2)), (6, 5, (4, 4, 4))]


def _low_rank(rows, columns, ranks, shared=False):
    """Random low-rank sources, and the same as float64 arrays; `shared` lets two have a common
    part.
    """
    stack = replace(
        random_stack((rows, columns), len(ranks), seed=rows), weights=(1.0, 0.5, 2.0)[: len(ranks)]
    )
    generator = torch.Generator().manual_seed(rows + columns)
    factors = [
        (
            torch.randn(rows, r, generator=generator),
            torch.randn(r, columns, generator=generator),
            0.5 + r,
        )
        for r in ranks
    ]
    if shared:
        factors[1] = factors[0]
    deltas = tuple(LowRank(*factor) for factor in factors)
    dense = [s * B.double().numpy() @ A.double().numpy() for B, A, s in factors]
    return replace(stack, deltas=deltas, total=sum(stack.weights)), dense


ORACLES = {
    "tsv_m": lambda dense, stack, ranks: papers.tsv_m(dense, stack.weights, ranks, 1e-3),
    "iso_c": lambda dense, stack, ranks: papers.iso_c(dense, stack.weights),
    "svc": lambda dense, stack, ranks: papers.svc(dense, stack.weights, 1.0),
    "pico": lambda dense, stack, ranks: papers.pico(dense, stack.weights),
    "swudi": lambda dense, stack, ranks: papers.swudi(dense, stack.weights, 300.0, 0.85),
}


@pytest.mark.parametrize(("rows", "columns", "ranks"), CORE)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ORACLES)
def test_core_space_equals_the_dense_form(rows, columns, ranks, shared, name):
    """In float64, before the result is rounded to float32 factors: 1e-10 of its size, R ≥ d
    included.
    """
    stack, dense = _low_rank(rows, columns, ranks, shared)
    method = build_method(name)
    oracle = ORACLES[name](dense, stack, [min(d.rank, rows, columns) for d in stack.deltas])
    core = core_of(stack)
    lifted = (core.left @ method.merge_core(core) @ core.right.T).numpy()
    scale = np.abs(oracle).max()
    np.testing.assert_allclose(lifted, oracle, rtol=0, atol=1e-10 * scale)
    found = as_delta(method.merge(stack), stack, method).dense().double().numpy()
    np.testing.assert_allclose(found, oracle, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("floor", [0.05, 0.5, 2.0])
def test_svc_stretches_what_cancels_down_to_its_floor(floor):
    stack, dense = _low_rank(14, 12, (5, 4, 6))
    stack = replace(stack, weights=(1.0, -0.5, 2.0))
    core = core_of(stack)
    found = core.left @ build_method("svc", {"floor": floor}).merge_core(core) @ core.right.T
    oracle = papers.svc(dense, stack.weights, floor)
    np.testing.assert_allclose(found.numpy(), oracle, rtol=0, atol=1e-9 * np.abs(oracle).max())


@pytest.mark.parametrize("name", ORACLES)
def test_full_fine_tunes_take_the_dense_form(name):
    stack, dense = _low_rank(14, 12, (5, 4, 6))
    full = replace(stack, deltas=tuple(Dense(delta.dense()) for delta in stack.deltas))
    method = build_method(name)
    found = as_delta(method.merge(full), full, method).dense().double().numpy()
    oracle = ORACLES[name](dense, stack, [4, 4, 4])
    np.testing.assert_allclose(found, oracle, rtol=0, atol=1e-4 * np.abs(oracle).max())


def test_what_spectral_methods_promise():
    """Sources in orthogonal directions are summed; copies of one source do not pile up in svc."""
    stack, _ = _low_rank(12, 10, (2, 2))
    eye = torch.eye(12)
    apart = tuple(
        LowRank(eye[:, 2 * i : 2 * i + 2], 3.0 * torch.eye(10)[2 * i : 2 * i + 2], 1.0)
        for i in range(2)
    )
    stack = replace(stack, deltas=apart, weights=(1.0, 1.0), total=2.0, count=2)
    total = sum(delta.dense() for delta in apart)
    for name in ("tsv_m", "svc", "iso_c"):
        method = build_method(name)
        merged = as_delta(method.merge(stack), stack, method).dense()
        torch.testing.assert_close(merged, total, rtol=1e-5, atol=1e-6)
    copies = replace(stack, deltas=(apart[0], apart[0]))
    method = build_method("svc")
    merged = as_delta(method.merge(copies), copies, method).dense()
    torch.testing.assert_close(merged, apart[0].dense(), rtol=1e-5, atol=1e-6)
