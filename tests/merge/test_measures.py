"""The numbers of a diagnosis: their bounds, and what they are of unrelated deltas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from additive.deltas.model import LowRank
from additive.merge.measures import conflicts, spectra


def _factors(rows, columns, rank, seed):
    random = torch.Generator().manual_seed(seed)
    left, right = (
        torch.randn(rows, rank, generator=random),
        torch.randn(rank, columns, generator=random),
    )
    return LowRank(left, right)


def test_unrelated_deltas_interfere_as_much_as_is_said_of_unrelated_ones():
    deltas = [_factors(200, 300, 4 + 8 * seed, seed) for seed in (0, 1)]
    found = spectra(deltas)
    expected = found.unrelated((200, 300))[0, 1].item()
    assert found.interferences()[0, 1].item() == pytest.approx(expected, rel=0.15)


def test_interference_is_nothing_between_orthogonal_deltas_and_one_between_equal_ones():
    one = _factors(40, 30, 3, 0)
    eye = torch.eye(40)
    apart = [LowRank(eye[:, :3], eye[:3, :30]), LowRank(eye[:, 3:6], eye[3:6, :30])]
    assert spectra([one, one]).interferences()[0, 1].item() == pytest.approx(1.0)
    assert spectra(apart).interferences()[0, 1].item() == pytest.approx(0.0, abs=1e-12)
    assert spectra([one]).interferences().tolist() == [[0.0]]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_what_piles_up_is_between_one_and_the_number_of_sources(count):
    one = _factors(40, 30, 3, 0)
    assert spectra([one] * count).over_accumulation() == pytest.approx(count)
    eye = torch.eye(40)
    apart = [LowRank(eye[:, [i]], eye[[i], :30], 1.0 + i) for i in range(count)]
    assert spectra(apart).over_accumulation() == pytest.approx(1.0)
    uneven = [
        _factors(40, 30, 3, 0),
        *(replace(_factors(40, 30, 3, i), scale=0.01) for i in range(1, count)),
    ]
    assert 0.99 < spectra(uneven).over_accumulation() < count


def test_conflicts_of_all_pairs_are_counted_at_once():
    blocks = list(torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)))
    found = conflicts(blocks)
    for i in range(3):
        for j in range(3):
            product = blocks[i] * blocks[j]
            expected = (product.clamp(max=0).abs().sum() / product.abs().sum()).item()
            assert found[i, j].item() == pytest.approx(expected, abs=1e-6)
