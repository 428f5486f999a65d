"""Where and in which numbers to train, decided once and said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from additive.errors import ResourceError

if TYPE_CHECKING:
    from additive.spec.domain import TrainSpec


@dataclass(frozen=True)
class Device:
    """The chosen device and the numbers of its arithmetic; weights that are trained stay fp32."""

    kind: str
    dtype: str
    name: str

    def __str__(self) -> str:
        return f"{self.name}, {self.dtype}"


def choose_device(spec: TrainSpec) -> Device:
    """CUDA in bfloat16 when it is there, else the CPU in float32, unless the spec says otherwise.

    Raises: ResourceError when CUDA is asked for and not there.
    """
    import torch

    there = torch.cuda.is_available()
    if spec.device == "cuda" and not there:
        raise ResourceError(
            "device is cuda when this machine has none that torch can use",
            where="train.device",
            help="set device: auto, or install a CUDA build of torch",
        )
    kind = "cuda" if there and spec.device != "cpu" else "cpu"
    dtype = spec.dtype if spec.dtype != "auto" else ("bfloat16" if kind == "cuda" else "float32")
    name = (
        torch.cuda.get_device_name()
        if kind == "cuda"
        else f"CPU ({torch.get_num_threads()} threads)"
    )
    return Device(kind, dtype, name)
