"""Sign election and disjoint mean: the second half of TIES, shared with DARE."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def disjoint_mean(deltas: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Per element: elect the sign of Σ wᵢδᵢ, then the weighted mean of the deltas that have it.

    Zeros take part in neither. Where the votes cancel exactly nobody is elected and the element is
    0 (the authors' code gives such elements the majority sign of the whole model). A negative
    weight votes with its sign and averages with its size.
    """
    elected = torch.zeros_like(deltas[0])
    for delta, weight in zip(deltas, weights, strict=True):
        elected.add_(delta, alpha=weight)
    elected.sign_()
    total = torch.zeros_like(elected)
    mass = torch.zeros_like(elected)
    for delta, weight in zip(deltas, weights, strict=True):
        if weight == 0.0:
            continue
        voted = delta if weight > 0 else -delta
        agrees = torch.eq(voted.sign(), elected).logical_and_(elected != 0)
        total.add_(torch.where(agrees, delta, 0.0), alpha=weight)
        mass.add_(agrees, alpha=abs(weight))
    return torch.where(mass > 0, total / mass, 0.0)
