"""What is trained: LoRA factors beside the base's weights, or the weights themselves.

The seed of LoRA's A comes from the domain's name. With one seed for all domains every domain gets
the same A, and their deltas are correlated from the first step on (cosine 0.47 against 0.17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from additive.errors import CompatibilityError
from additive.spec.domain import FullSpec, LoraSpec
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
