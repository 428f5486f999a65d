"""What a training run would cost, before it is run: from shapes and lengths, without a model.

    memory   weights + gradients + AdamW's two moments, fp32 each for what is trained
             + activations of one micro-batch + logits of its longest rows
    disk     checkpoints that stay (LoRA: the adapter of every evaluation) + the result
    time     6 · parameters · tokens operations per step (4 with LoRA: the base needs no gradient of
             its weights), at a speed that is assumed, or measured when a trial is asked for

Estimates are upper ends, for a look before the leap: a run that ends saturated ends earlier.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from additive.spec.domain import DomainSpec, FullSpec, LoraSpec
from additive.tensors.reader import open_checkpoint
from additive.train.device import Device
from additive.train.schedule import last_possible_step

_ASSUMED_SPEED = {"cpu": 5e10, "cuda": 1e14}


"""Operations per second that are assumed of a device when none were measured."""


_ACTIVATIONS = 24


"""Numbers kept per token, layer and hidden unit for the backward pass."""


@dataclass(frozen=True)
class Shape:
    """What of a model's size decides the cost."""

    parameters: int
    hidden: int
    layers: int
    vocabulary: int
    linear: tuple[tuple[str, int], ...]
    """Name and inputs + outputs of every linear layer that LoRA can adapt."""


@dataclass(frozen=True)
class TrainPlan:
    """An estimate; bytes, seconds and steps are upper ends."""

    device: str
    parameters: int
    trained: int
    rows: int
    tokens_per_step: int
    steps: int
    evaluations: int
    memory_bytes: int
    disk_bytes: int
    seconds: float
    measured: bool

    def record(self) -> dict[str, Any]:
        """The numbers as JSON."""
        return asdict(self)


def read_shape(directory: Path) -> Shape:
    """The shape of a model directory, from its config and its tensors' headers alone.

    Raises: IntegrityError when a header cannot be read.
    """

    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    text = config.get("text_config", config)
    with open_checkpoint(directory) as checkpoint:
        infos = [(name, checkpoint.info(name)) for name in checkpoint.names()]
    linear = tuple(
        (name.removesuffix(".weight"), sum(info.shape))
        for name, info in infos
        if len(info.shape) == 2 and name.endswith(".weight") and not _is_embedding(name)
    )
    return Shape(
        parameters=sum(info.numel for _, info in infos),
        hidden=int(text.get("hidden_size") or text.get("n_embd") or 0),
        layers=int(text.get("num_hidden_layers") or text.get("n_layer") or 0),
        vocabulary=int(text.get("vocab_size") or 0),
        linear=linear,
    )


def estimate(
    spec: DomainSpec,
    shape: Shape,
    device: Device,
    rows: int,
    mean_tokens: float,
    longest: int,
    extend: float = 1.0,
    speed: float | None = None,
) -> TrainPlan:
    """The cost of training to the end of the budget.

    Args: rows and mean_tokens describe the encoded training rows, longest is the longest of them;
    speed is a measured number of operations per second, None assumes one.
    """
    trained = trained_parameters(spec.adapt, shape)
    steps = last_possible_step(spec.saturation, extend)
    evaluations = steps // spec.saturation.eval_steps + 2
    tokens = round(spec.train.batch_size * mean_tokens)
    passes = 6 if isinstance(spec.adapt, FullSpec) else 4
    operations = passes * (shape.parameters + trained) * tokens * steps
    return TrainPlan(
        device=str(device),
        parameters=shape.parameters,
        trained=trained,
        rows=rows,
        tokens_per_step=tokens,
        steps=steps,
        evaluations=evaluations,
        memory_bytes=_memory(spec, shape, device, trained, longest),
        disk_bytes=_disk(spec, trained, evaluations),
        seconds=operations / (speed or _ASSUMED_SPEED[device.kind]),
        measured=speed is not None,
    )


def trained_parameters(adapt: LoraSpec | FullSpec, shape: Shape) -> int:
    """The number of parameters that a spec trains: rank·(inputs + outputs) per adapted layer."""
    if isinstance(adapt, FullSpec):
        return shape.parameters
    return adapt.rank * sum(size for name, size in shape.linear if _is_target(name, adapt.targets))


def _memory(spec: DomainSpec, shape: Shape, device: Device, trained: int, longest: int) -> int:
    full = isinstance(spec.adapt, FullSpec)
    weights = shape.parameters * (2 if device.dtype == "bfloat16" and not full else 4)
    state = trained * (12 if full else 16)
    micro = min(spec.train.batch_size, spec.train.micro_batch_size or spec.train.batch_size)
    tokens = micro * longest
    activations = 4 * tokens * shape.layers * shape.hidden * _ACTIVATIONS
    return weights + state + activations + 8 * tokens * shape.vocabulary


def _disk(spec: DomainSpec, trained: int, evaluations: int) -> int:
    keeps_all = isinstance(spec.adapt, LoraSpec) or "snapshots" in spec.model_fields_set
    weights = 4 * trained * (evaluations if keeps_all else 5)
    return weights + 2 * 8 * trained + 4 * trained * len(spec.snapshots)


def _is_target(name: str, targets: str | tuple[str, ...]) -> bool:
    """PEFT's rule: the name itself or its last parts."""
    if isinstance(targets, str):
        return True
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _is_embedding(name: str) -> bool:
    return any(part in name for part in ("embed", "wte", "wpe", "lm_head"))
