"""How much of their inputs two LoRA adapters share, from their A factors alone.

LoRA's A starts random and hardly moves. Adapters that one script made with one seed start from the
same A, so their deltas read the same few directions of every layer's input. A method that keeps
shared directions apart then takes away what each adapter does on its own inputs; a sum does not.

Only A factors are read, with NumPy and without torch, so that resolving a merge stays light.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from additive.tensors.header import read_header

if TYPE_CHECKING:
    import numpy as np

_A = ".lora_A.weight"


def shared_inputs(adapters: Mapping[str, Path]) -> tuple[float, tuple[str, str]] | None:
    """The pair of adapters that shares most of its inputs, and how much, in [0, 1].

    With Q an orthonormal basis of the rows of A, modules share ‖QᵢᵀQⱼ‖²_F / min(rᵢ, rⱼ), the mean
    squared cosine of the principal angles; two adapters, the mean over the modules that both adapt.
    Random factors share about max(rᵢ, rⱼ) / inputs, equal starts most of it.

    adapters  name -> folder with adapter_model.safetensors

    Gives None where no two of them adapt a module in common.
    """
    bases = {name: _input_bases(directory) for name, directory in adapters.items()}
    pairs = {
        (one, other): share
        for one, other in combinations(bases, 2)
        if (share := _share(bases[one], bases[other])) is not None
    }
    if not pairs:
        return None
    pair = max(pairs, key=lambda names: pairs[names])
    return pairs[pair], pair


def _share(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float | None:
    shares = [
        float(((one[key].T @ other[key]) ** 2).sum()) / min(one[key].shape[1], other[key].shape[1])
        for key in one.keys() & other.keys()
        if len(one[key]) == len(other[key])
    ]
    return sum(shares) / len(shares) if shares else None


def _input_bases(directory: Path) -> dict[str, np.ndarray]:
    """An orthonormal basis (inputs, rank) of each module's A."""
    import numpy as np

    path = directory / "adapter_model.safetensors"
    header = read_header(path)
    bases = {}
    with path.open("rb") as file:
        for name, info in header.tensors.items():
            if name.endswith(_A) and len(info.shape) == 2 and info.dtype in _READERS:
                file.seek(header.data_start + info.start)
                values = _read(file.read(info.nbytes), info.dtype).reshape(info.shape)
                bases[name] = np.linalg.qr(values.T.astype(np.float32))[0]
    return bases


_READERS = ("F32", "F16", "BF16")


def _read(data: bytes, dtype: str) -> np.ndarray:
    import numpy as np

    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, np.float32 if dtype == "F32" else np.float16)
