"""Singular values through the range: as exact as of the whole matrix, whatever rank was said."""

from __future__ import annotations

import pytest
import torch

from additive.merge import core
from additive.merge.core import svd
from additive.merge.methods.tsv_m import whiten


def _of_rank(rank, size=160, smallest=1.0):
    torch.manual_seed(rank)
    left, _ = torch.linalg.qr(torch.randn(size, rank, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(size, rank, dtype=torch.float64))
    return (left * torch.logspace(0, smallest, rank, dtype=torch.float64)) @ right.T


@pytest.mark.parametrize("smallest", [0.0, -4.0, -8.0])
@pytest.mark.parametrize(("true", "said"), [(8, 8), (4, 16), (0, 8), (60, 8), (160, 16)])
def test_it_is_the_decomposition_whatever_rank_was_said(true, said, smallest):
    matrix = _of_rank(true, smallest=smallest)
    U, sigma, Vh = svd(matrix, said)
    size = max(torch.linalg.norm(matrix).item(), 1e-300)
    assert torch.linalg.norm((U * sigma) @ Vh - matrix) <= 1e-12 * size
    whole = torch.linalg.svdvals(matrix)[: len(sigma)]
    torch.testing.assert_close(sigma, whole, rtol=0.0, atol=1e-12 * size)
    for basis in (U, Vh.T):
        eye = torch.eye(len(sigma), dtype=torch.float64)
        torch.testing.assert_close(basis.T @ basis, eye, rtol=0.0, atol=1e-12)


def test_a_small_rank_takes_the_short_way_and_a_large_one_does_not():
    assert len(svd(_of_rank(8), 8)[1]) == 16
    assert len(svd(_of_rank(60), 8)[1]) == 160


def test_the_same_matrix_gives_the_same_bits():
    matrix = _of_rank(8)
    torch.manual_seed(5)
    first = svd(matrix, 8)
    torch.randn(3)
    assert all(torch.equal(a, b) for a, b in zip(first, svd(matrix, 8), strict=True))


@pytest.mark.parametrize("ridge", [1e-3, 1e-4, 1e-6])
def test_whitening_by_products_is_whitening_by_singular_values(monkeypatch, ridge):
    """Columns that are nearly copies of each other, and exact copies."""
    vectors = torch.cat([_of_rank(6)[:, :6], _of_rank(7)[:, :6] * 1e-7, _of_rank(6)[:, :3]], dim=1)
    found = whiten(vectors, ridge)
    monkeypatch.setattr("additive.merge.methods.tsv_m._PLAIN", 1.0)
    torch.testing.assert_close(found, whiten(vectors, ridge), rtol=0.0, atol=1e-10)


def test_the_margin_is_seen_to_matter(monkeypatch):
    monkeypatch.setattr(core, "_EXACT", 1e9)
    matrix = _of_rank(60)
    U, sigma, Vh = svd(matrix, 8)
    assert torch.linalg.norm((U * sigma) @ Vh - matrix) > 0.1
