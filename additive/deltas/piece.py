"""A piece: one way in which an adapter changes one parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from additive.deltas.model import Delta
from additive.deltas.source import AdapterTarget


@dataclass(frozen=True)
class Piece:
    """`read` makes the delta from mapped tensors; `rank` is that of plain factors s·B·A.

    tokens  whether the delta is trained rows of an embedding
    """

    read: Callable[[], Delta]
    target: AdapterTarget | None = None
    rank: int | None = None
    tokens: bool = False
