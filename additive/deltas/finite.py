"""NaN and infinity in inputs, found at memory speed: a minimum and a maximum carry both through."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from additive.tensors.reader import Checkpoint

_BLOCK = 1 << 21


def is_finite(tensor: Tensor) -> bool:
    """Whether every element is finite; reads the tensor once and copies nothing of its size."""
    flat = tensor.reshape(-1)
    for start in range(0, flat.numel(), _BLOCK):
        low, high = torch.aminmax(flat[start : start + _BLOCK])
        if not (math.isfinite(low.item()) and math.isfinite(high.item())):
            return False
    return True


def non_finite_tensors(checkpoint: Checkpoint, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the named tensors that hold NaN or infinity, in the order of the names."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        finite = pool.map(lambda name: is_finite(checkpoint.tensor(name)), names)
        return tuple(name for name, good in zip(names, finite, strict=True) if not good)
