"""The triangles of stacked factors: all that a diagnosis needs to know of low-rank sources.

With [B₁ … Bₙ] = U·R_B and [A₁; …; Aₙ]ᵀ = V·R_A every inner product of singular vectors is one of
columns of R_B and R_A, which are R×R. They are kept in one small file per set of sources, named by
the sources' digests; `prepare` leaves it, too. What cannot be kept or read again is computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from additive.artifacts.atomic import write_tensors
from additive.deltas.model import LowRank
from additive.errors import RefusedError, ResourceError
from additive.tensors.reader import Checkpoint, open_file
from additive.types.digests import Digest, digest_json

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Triangles:
    """R_B and R_A of one parameter, (min(rows, R), R) and (min(columns, R), R), float64."""

    B: Tensor
    A: Tensor

    def fit(self, deltas: Sequence[LowRank]) -> bool:
        """Whether they have the shapes of these deltas' triangles."""
        (rows, columns), rank = deltas[0].shape, sum(delta.rank for delta in deltas)
        shapes = (min(rows, rank), rank), (min(columns, rank), rank)
        return (tuple(self.B.shape), tuple(self.A.shape)) == shapes


def triangles_of(deltas: Sequence[LowRank]) -> Triangles:
    """The triangles of one parameter's deltas, without the bases U and V."""
    B, A = stacked(deltas)
    return Triangles(_triangle(B), _triangle(A))


def stacked(deltas: Sequence[LowRank]) -> tuple[Tensor, Tensor]:
    """[B₁ … Bₙ] and [A₁; …; Aₙ]ᵀ in float64, (rows, R) and (columns, R)."""
    B = torch.cat([delta.B.double() for delta in deltas], dim=1)
    return B, torch.cat([delta.A.double() for delta in deltas], dim=0).T


def triangles_file(cache: Path, sources: Sequence[Digest]) -> Path:
    """Where the triangles of these sources, in their summing order, are kept."""
    return cache / f"triangles-{digest_json([_FORMAT, list(sources)])[:16]}.safetensors"


def read_triangles(path: Path) -> dict[str, Triangles]:
    """What was kept, by parameter; nothing where there is no whole file with its seal."""
    if not path.is_file():
        return {}
    try:
        kept = open_file(path)
        tensors = {name: kept.tensor(name) for name in kept.names()}
    except RefusedError:
        return {}
    if _said(kept, path) != _seal(tensors):
        return {}
    names = [name.removesuffix(".B") for name in tensors if name.endswith(".B")]
    return {name: Triangles(tensors[f"{name}.B"], tensors[f"{name}.A"]) for name in names}


def keep_triangles(path: Path, found: Mapping[str, Triangles]) -> None:
    """Keep triangles for the next use; a disk that does not take them costs that use its QR."""
    tensors = {f"{name}.B": one.B for name, one in found.items()}
    tensors |= {f"{name}.A": one.A for name, one in found.items()}
    with suppress(ResourceError):
        write_tensors(path, tensors, {"seal": _seal(tensors)})


def _triangle(stack: Tensor) -> Tensor:
    # In rows, as a file gives it back: the bits of a product depend on the order in memory.
    return torch.linalg.qr(stack, mode="r")[1].contiguous()


def _said(kept: Checkpoint, path: Path) -> str | None:
    return kept.headers[path.name].metadata.get("seal")


def _seal(tensors: Mapping[str, Tensor]) -> Digest:
    state = hashlib.sha256()
    for name in sorted(tensors):
        state.update(f"{name} {tuple(tensors[name].shape)}\n".encode())
        state.update(tensors[name].numpy().data)
    return state.hexdigest()
