"""AdamW over the trained parameters, and its state by parameter name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from additive.train.adapt import trainable

if TYPE_CHECKING:
    import torch

    from additive.spec.domain import TrainSpec

_STATE = ("step", "exp_avg", "exp_avg_sq")


def make_optimizer(model: torch.nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only; the rate is set before every step."""
    import torch

    parameters = list(trainable(model).values())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=spec.rate, fused=True)


def optimizer_tensors(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """The state by parameter name: both moments and the number of steps."""
    return {
        f"{key}:{name}": value
        for name, parameter in trainable(model).items()
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Put saved state back, on the device of its parameter."""
    for name, parameter in trainable(model).items():
        optimizer.state[parameter] = {
            key: tensors[f"{key}:{name}"].to(parameter.device) for key in _STATE
        }


def load_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Put saved values into the trained parameters."""
    import torch

    with torch.no_grad():
        for name, parameter in trainable(model).items():
            parameter.copy_(weights[name])
