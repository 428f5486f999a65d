"""What is trained: LoRA factors beside the base's weights, or the weights themselves.

The seed of LoRA's A comes from the domain's name. With one seed for all domains every domain gets
the same A, and their deltas are correlated from the first step on (cosine 0.47 against 0.17).

AdamW over the trained parameters, and its state by parameter name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from additive.errors import CompatibilityError
from additive.spec.domain import FullSpec, LoraSpec, TrainSpec
from additive.types.seeds import derive_seed

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel


def adapted(
    model: PreTrainedModel, spec: LoraSpec | FullSpec, name: str, seed: int
) -> PreTrainedModel | PeftModel:
    """The model with exactly those parameters trainable that the spec wants trained, in fp32.

    Raises: CompatibilityError when a target names no module.
    """
    if isinstance(spec, LoraSpec):
        return _with_lora(model, spec, derive_seed("lora_a", name, seed))
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The trained parameters by name, in the model's order."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _with_lora(model: PreTrainedModel, spec: LoraSpec, seed: int) -> PeftModel:
    import torch
    from peft import LoraConfig, get_peft_model

    targets = spec.targets if isinstance(spec.targets, str) else list(spec.targets)
    config = LoraConfig(
        r=spec.rank,
        # PEFT divides by the rank; a float is as good
        lora_alpha=spec.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=spec.dropout,
        target_modules=targets,
        use_rslora=spec.rslora,
        init_lora_weights=True if spec.init == "default" else spec.init,
        fan_in_fan_out=_is_transposed(model),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            attached = get_peft_model(model, config)
        except ValueError as error:
            raise CompatibilityError(
                f"adapter does not fit this base: {error}",
                where="adapt.targets",
                help="name modules of the base"
                + (", or use all-linear" if targets != "all-linear" else ": targets: [in_proj, …]"),
            ) from error
    return attached


def _is_transposed(model: PreTrainedModel) -> bool:
    """Whether the linear layers keep their weight as [in, out] (GPT-2's Conv1D)."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) for module in model.modules())


_STATE = ("step", "exp_avg", "exp_avg_sq")


def make_optimizer(model: torch.nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only; the rate is set before every step."""
    import torch

    parameters = list(trainable(model).values())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=spec.learning_rate, fused=True)


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
