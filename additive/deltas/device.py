"""Deltas on another device than the processor: mapped for it, moved when a parameter is merged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from additive.deltas.lazy import Difference, TrainedValues, WholeTensor
from additive.deltas.model import Delta, Dense, Experts, LowRank, Sum
from additive.errors import ResourceError

DEVICES = ("cpu", "cuda")


def check_device(device: str) -> None:
    """Refuse a device that torch cannot use.

    Raises: ResourceError.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "device is cuda when this machine has none that torch can use",
            where="--device",
            help="leave --device out, or install a CUDA build of torch",
        )


def move_delta(delta: Delta, base: Tensor) -> Delta:
    """The same delta computed on the device of `base`, which is the parameter's base tensor there.

    Factors and whole tensors are moved as they are; what is computed from mapped files by other
    formulas is computed on the processor block by block, and each block is moved. The numbers that
    are moved are the same; what a device makes of them differs by its own rounding.

    >>> move_delta(Dense(torch.ones(2)), torch.zeros(2)).dense()
    tensor([1., 1.])
    """
    device = base.device
    if device.type == "cpu":
        return delta
    if isinstance(delta, LowRank | Experts):
        return type(delta)(delta.B.to(device), delta.A.to(device), delta.scale)
    if isinstance(delta, Dense):
        return Dense(delta.tensor.to(device))
    if isinstance(delta, Sum):
        return Sum(
            tuple((coefficient, move_delta(term, base)) for coefficient, term in delta.terms)
        )
    if isinstance(delta, Difference):
        return Difference(_moved(delta.trained, device), base)
    raise TypeError(f"{type(delta).__name__} is no delta of a source")


def _moved(trained: TrainedValues, device: torch.device) -> TrainedValues:
    if isinstance(trained, WholeTensor):
        return WholeTensor(trained.tensor.to(device))
    return MovedValues(trained, device)


@dataclass(frozen=True, eq=False)
class MovedValues:
    """Trained values that the processor computes, and their rows moved to a device."""

    trained: TrainedValues
    device: torch.device

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop) of the matrix view, float32."""
        return self.trained.rows(start, stop).to(self.device)
