"""The norm that is recorded is the norm of the dense delta, also where factors cancel."""

import pytest
import torch

from additive.deltas.model import Experts, LowRank
from additive.deltas.source import delta_norm


def _factors(rank: int, difference: float, seed: int = 0) -> LowRank:
    """B·A − B·(A + difference·N): as two sources that learnt nearly the same, one subtracted."""
    drawn = torch.Generator().manual_seed(seed)
    B, A = torch.randn(96, rank, generator=drawn), torch.randn(rank, 160, generator=drawn)
    other = A + difference * torch.randn(rank, 160, generator=drawn)
    return LowRank(torch.cat([B, -B], dim=1), torch.cat([A, other]), 0.5)


@pytest.mark.parametrize("difference", [10.0, 1.0, 1e-2, 1e-3])
@pytest.mark.parametrize("rank", [1, 16])
def test_the_norm_of_factors_is_that_of_their_product(rank: int, difference: float) -> None:
    delta = _factors(rank, difference)
    wanted = delta.dense(torch.float64).norm().item()
    assert delta_norm(delta) == pytest.approx(wanted, rel=1e-6)


def test_what_cancels_exactly_has_no_norm() -> None:
    delta = _factors(4, 0.0)
    assert delta_norm(delta) < 1e-6 * delta_norm(_factors(4, 1.0))


def test_the_norm_of_experts_is_that_of_all_of_them() -> None:
    one, other = _factors(4, 1.0), _factors(4, 1.0, seed=1)
    both = Experts(torch.stack([one.B, other.B]), torch.stack([one.A, other.A]), 0.5)
    wanted = (delta_norm(one) ** 2 + delta_norm(other) ** 2) ** 0.5
    assert delta_norm(both) == pytest.approx(wanted, rel=1e-6)
