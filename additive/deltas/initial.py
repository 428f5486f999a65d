"""Adapters that started from a part of the base: PiSSA (arXiv:2404.02948), OLoRA (2406.01775).

Their initialisation takes s·B₀·A₀ out of the base's weight and trains it: the layer computes
W − s·B₀·A₀ + s·B·A. So against the base as it was published the delta is

    s·(B·A − B₀·A₀) = s·[B, −B₀]·[A; A₀]

of twice the rank, exactly, if the factors that training started from were kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from additive.deltas.peft_config import AdapterConfig
from additive.errors import CompatibilityError
from additive.tensors.reader import Checkpoint, open_file


def read_initial(config: AdapterConfig, checkpoint: Checkpoint, where: str) -> Mapping[str, Tensor]:
    """The initial factors by the trained ones' names; empty for an adapter that needs none.

    Raises: CompatibilityError when names or shapes are not the trained ones', or with DoRA, whose
    magnitudes were taken from the changed base.
    """
    if config.initial is None:
        return {}
    if config.dora:
        raise CompatibilityError(
            "DoRA on an initialisation that changes the base has no delta that is known here",
            where=where,
        )
    with open_file(config.initial) as initial:
        shapes = {name: checkpoint.info(name).shape for name in checkpoint.names()}
        if {name: initial.info(name).shape for name in initial.names()} != shapes:
            raise CompatibilityError(
                "initial factors have other names or shapes than the trained ones",
                where=str(config.initial),
                help="put the adapter there that this training started from",
            )
        return {name: initial.tensor(name).to(torch.float32, copy=True) for name in initial.names()}


def without_initial(
    A: Tensor, B: Tensor, start: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """[A; A₀] and [B, −B₀]; A and B themselves where there was no such start."""
    if start is None:
        return A, B
    return torch.cat([A, start[0]]), torch.cat([B, -start[1]], dim=1)
