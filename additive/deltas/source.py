"""Sources: everything that one training added to a base, parameter by parameter.

An adapter's source is made of `AdapterPart`s. Two questions about any source are answered here too:
whether its tensors are finite, and the norms of its deltas.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from additive.deltas.model import Delta, LowRank, tiles
from additive.tensors.reader import Checkpoint
from additive.types.digests import Digest

Orientation = Literal["linear", "conv1d", "embedding", "parameter"]


@dataclass(frozen=True)
class AdaptedParameter:
    """A parameter that PEFT adapts by `target_parameters`, and which share of it a delta changes.

    name        PEFT's name of it, without its module: `gate_up_proj`
    depth       how many wrappers of the same module PEFT puts around this one's
    experts     how many experts it holds, 1 for a matrix
    expert      the expert that the delta changes; None where the base stores all in one tensor
    part, parts  which share of its outputs the delta changes: gate is 0 and up is 1 of 2
    transposed  whether the base stores (experts, inputs, outputs)
    """

    name: str
    depth: int
    experts: int = 1
    expert: int | None = None
    part: int = 0
    parts: int = 1
    transposed: bool = False


@dataclass(frozen=True)
class AdapterTarget:
    """Where PEFT would put the factors of a delta.

    module       the module's name
    orientation  which way its weight lies
    parameter    with `target_parameters`, which parameter of the module; else None
    """

    module: str
    orientation: Orientation
    parameter: AdaptedParameter | None = None


class DeltaSource(Protocol):
    """One training's deltas. Opening reads headers; `delta` reads factors; blocks are read when
    asked for.

    `name` is for people, `digest` orders and seeds.
    """

    @property
    def name(self) -> str:
        """The name that messages use."""
        ...

    @property
    def digest(self) -> Digest:
        """The identity of the source."""
        ...

    @property
    def kind(self) -> str:
        """`lora`, `dora`, `ia3` or `full`."""
        ...

    def parameters(self) -> tuple[str, ...]:
        """The base's names of the parameters that were trained, in the base's order."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter's delta: the base's."""
        ...

    def delta(self, name: str) -> Delta:
        """What the training added to one of `parameters()`."""
        ...

    def shares(self, alias: str, stored: str) -> bool:
        """Whether a tied pair (head, embedding) is still tied after this training."""
        ...

    def target(self, name: str) -> AdapterTarget | None:
        """Where an adapter would hold this delta; None when it is no low-rank delta."""
        ...

    def rank(self, name: str) -> int | None:
        """The rank of the factors s·B·A of one of `parameters()`; None when its delta is no such
        product.
        """
        ...

    def non_finite(self) -> tuple[str, ...]:
        """The names of the source's own tensors that hold NaN or infinity; reads all its bytes."""
        ...

    def nbytes(self) -> int:
        """How many bytes a merge reads of it."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


@dataclass(frozen=True)
class AdapterPart:
    """One way in which an adapter changes one parameter; several of them are summed.

    read    makes the delta from mapped tensors
    target  where an adapter would hold it; None when it is no low-rank delta
    rank    the rank of plain factors s·B·A; None for anything else
    tokens  whether the delta is trained rows of an embedding
    """

    read: Callable[[], Delta]
    target: AdapterTarget | None = None
    rank: int | None = None
    tokens: bool = False


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


# Below this share of ‖BᵀB‖·‖AAᵀ‖ the square is taken to have cancelled; random factors are near 1.
_CANCELLED = 0.1


def delta_norm(delta: Delta) -> float:
    """The Frobenius norm ‖δ‖, to about 1e-6 of it; of s·B·A from the factors' Gram matrices,
    ‖BA‖² = ⟨BᵀB, AAᵀ⟩.
    """
    if isinstance(delta, LowRank):
        return abs(delta.scale) * math.sqrt(max(_square(delta.B, delta.A), 0.0))
    total = 0.0
    for start, stop in tiles(delta.shape):
        block = delta.rows(start, stop).dense()
        total += torch.linalg.vector_norm(block, dtype=torch.float64).item() ** 2
    return math.sqrt(total)


def _square(B: Tensor, A: Tensor) -> float:
    """‖BA‖². Float32 rounds each Gram matrix by its own size, so that the square loses digits only
    where the sources' factors cancel; there, the products are taken in float64.
    """
    left, right = (B.T @ B).double(), (A @ A.T).double()
    square = torch.sum(left * right).item()
    if square > _CANCELLED * (torch.linalg.vector_norm(left) * torch.linalg.vector_norm(right)):
        return square
    B, A = B.double(), A.double()
    return torch.sum((B.T @ B) * (A @ A.T)).item()


def delta_norms(source: DeltaSource) -> dict[str, float]:
    """‖δ‖ of every trained parameter, in the base's order; a full fine-tune is streamed.

    Example: `delta_norms(open_deltas(directory, base, "math", digest))`
    """
    return {name: delta_norm(source.delta(name)) for name in source.parameters()}
