"""Adapters that started from a part of the base: PiSSA (arXiv:2404.02948), OLoRA (2406.01775),
CorDA (2406.05223), LoRA-GA (2407.05000).

Their initialisation takes s·B₀·A₀ out of the base's weight and trains it: the layer computes
W − s·B₀·A₀ + s·B·A. So against the base as it was published the delta is

    s·(B·A − B₀·A₀) = s·[B, −B₀]·[A; A₀]

of twice the rank, exactly, if the factors that training started from were kept.

An adapter as PEFT loads it onto the base as it was published: its names, no start of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from additive.deltas.names import plain_name, tower_name
from additive.deltas.peft_config import AdapterConfig, initial_file, read_adapter_config
from additive.errors import CompatibilityError
from additive.tensors.json import read_object
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


def converted(directory: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and configuration of the plain LoRA, of twice the rank, that such an adapter is on
    the base as it was published: s·[B, −B₀]·[A; A₀], factors as they are stored.

    Raises: as `read_adapter_config` and `read_initial`; CompatibilityError for an adapter that has
    no initial factors.

    Example: `tensors, config = converted(Path("saves/math-pissa"))`
    """
    config, raw = read_adapter_config(directory), read_object(directory / "adapter_config.json")
    with open_file(directory / "adapter_model.safetensors") as trained:
        initial = read_initial(config, trained, str(directory))
        if not initial:
            raise CompatibilityError("has no initial factors to convert", where=str(directory))
        tensors = {
            name: _joined(name, trained.tensor(name), initial[name]) for name in trained.names()
        }
    rank, alpha = plain_size(config)
    grow = math.sqrt(2.0) if config.rslora else 2.0
    patterns = {
        "rank_pattern": {name: 2 * rank for name, rank in config.rank_pattern.items()},
        "alpha_pattern": {name: grow * alpha for name, alpha in config.alpha_pattern.items()},
    }
    plain = {"init_lora_weights": True, "corda_config": None, "lora_ga_config": None}
    return tensors, raw | patterns | plain | {"r": rank, "lora_alpha": alpha}


def plain_size(config: AdapterConfig) -> tuple[int, float]:
    """Rank and alpha as a plain LoRA on the published base: α/r stays when both are doubled, α/√r
    when α grows by √2.
    """
    if config.initial is None:
        return config.rank, config.alpha
    return 2 * config.rank, config.alpha * (math.sqrt(2.0) if config.rslora else 2.0)


def _joined(name: str, trained: Tensor, start: Tensor) -> Tensor:
    if name.endswith((".lora_A.weight", ".lora_embedding_A")):
        return torch.cat([trained, start])
    if name.endswith((".lora_B.weight", ".lora_embedding_B")):
        return torch.cat([trained, -start], dim=1)
    return trained.clone()


ADAPTER_WEIGHTS = "adapter_model.safetensors"


def rewritten(
    directory: Path, config: Mapping[str, Any]
) -> tuple[dict[str, Tensor], Mapping[str, Any]] | None:
    """Tensors and configuration that mean the same to PEFT as the folder's own do here; None where
    its file can be loaded as it is.

    Raises: as `converted`.

    Example: `rewritten(Path("saves/math-pissa"), read_object(path))`
    """
    if initial_file(config.get("init_lora_weights"), directory) is not None:
        tensors, config = converted(directory)
        return {plain_name(name): tensor for name, tensor in tensors.items()}, config
    with open_file(directory / ADAPTER_WEIGHTS) as opened:
        names = {name: tower_name(plain_name(name)) for name in opened.names()}
        if all(new == old for old, new in names.items()):
            return None
        return {new: opened.tensor(old).clone() for old, new in names.items()}, config
