"""Where and in which numbers to train, decided once and said.

On a CPU weights, sums and optimizer are float32. Unless `dtype: float32` asks for the full
precision, the factors of matrix products are rounded to bfloat16 where the CPU has units for it
(AMX, AVX512-BF16): up to twice as fast, and what every GPU does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from additive.errors import ResourceError
from additive.spec.domain import TrainSpec


@dataclass(frozen=True)
class Device:
    """The chosen device and the numbers of its arithmetic; weights that are trained stay fp32.

    `products` is torch's float32 matmul precision: "highest", or "medium" for bfloat16 factors.
    """

    kind: str
    dtype: str
    name: str
    products: str = "highest"

    def __str__(self) -> str:
        return f"{self.name}, {self.dtype}{' (fast products)' * (self.products == 'medium')}"


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
    fast = kind == "cpu" and spec.dtype == "auto"
    return Device(kind, dtype, name, "medium" if fast else "highest")


@contextmanager
def arithmetic(device: Device) -> Iterator[None]:
    """Compute in the device's precision, and put the precision back afterwards."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(device.products)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
