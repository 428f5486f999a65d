"""Deltas: what one training, or one merge, adds to one parameter.

`Dense` is a tensor, `LowRank` is s·B·A, `Experts` one s·B·A per expert. A method may match on the
first two and stay in factor space; `dense()` always works. The other kinds (`lazy.py`) are computed
from mapped files, block by block: `rows(start, stop)` gives a block of the matrix view (see
`tiles`) as `Dense` or `LowRank`.

Fixed tiles: the blocks in which every parameter is computed, whoever computes it.

A parameter of any shape is seen as a matrix: its last dimension is the columns, all others are
rows, and a vector is one row. Tiles are runs of whole rows whose number depends on the shape alone.
A matrix product gives the same bits only for the same shapes, so it is the fixed tile that makes a
merge independent of threads, of shards and of how many rows a caller asks for at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

TILE_ELEMENTS = 1 << 18


_ALIGN = 16


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a parameter's matrix view.

    >>> matrix_shape((8, 4, 3)), matrix_shape((5,)), matrix_shape(())
    ((32, 3), (1, 5), (1, 1))
    """
    if not shape:
        return 1, 1
    return math.prod(shape[:-1]), shape[-1]


def tile_rows(shape: tuple[int, ...]) -> int:
    """How many rows of the matrix view make one tile.

    >>> tile_rows((32000, 2048)), tile_rows((4096,))
    (128, 1)
    """
    rows, columns = matrix_shape(shape)
    fitting = TILE_ELEMENTS // max(columns, 1)
    return max(1, min(rows, fitting - fitting % _ALIGN if fitting >= _ALIGN else fitting))


def tiles(
    shape: tuple[int, ...], start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, int]]:
    """The tiles (first row, row after the last) that cover the rows from start to stop.

    Raises: ValueError when start is not the beginning of a tile.

    >>> list(tiles((300, 2048)))
    [(0, 128), (128, 256), (256, 300)]
    """
    rows, step = matrix_shape(shape)[0], tile_rows(shape)
    if start % step:
        raise ValueError(f"rows start at {start} when tiles of this shape start every {step} rows")
    for first in range(start, rows if stop is None else stop, step):
        yield first, min(first + step, rows if stop is None else stop)


@runtime_checkable
class Delta(Protocol):
    """Anything that can say what was added to a parameter."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        ...

    def rows(self, start: int, stop: int) -> Dense | LowRank:
        """Rows [start, stop) of the matrix view, shape (stop - start, columns)."""
        ...

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The whole delta in the parameter's shape."""
        ...


@runtime_checkable
class Exact(Delta, Protocol):
    """A delta that knows the trained values themselves, so that nothing is lost in base + delta."""

    def trained_rows(self, start: int, stop: int) -> Tensor:
        """The trained parameter, rows [start, stop) of the matrix view, float32."""
        ...


@dataclass(frozen=True, eq=False)
class Dense:
    """A delta that is there as a tensor, in the parameter's shape."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return tuple(self.tensor.shape)

    def rows(self, start: int, stop: int) -> Dense:
        """Rows [start, stop) of the matrix view."""
        return Dense(self.tensor.reshape(matrix_shape(self.shape))[start:stop])

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The tensor itself."""
        return self.tensor.to(dtype)


@dataclass(frozen=True, eq=False)
class LowRank:
    """A delta s·B·A: B is (rows, rank), A is (rank, columns), both float32; the parameter is a
    matrix.
    """

    B: Tensor
    A: Tensor
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return (self.B.shape[0], self.A.shape[1])

    @property
    def rank(self) -> int:
        """The number of columns of B, an upper bound of the true rank."""
        return self.B.shape[1]

    def rows(self, start: int, stop: int) -> LowRank:
        """Rows [start, stop): the same A, a slice of B."""
        return LowRank(self.B[start:stop], self.A, self.scale)

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """s·B·A, computed tile by tile so that its bits depend on nothing but the factors."""
        if self.rank == 0:
            return torch.zeros(self.shape, dtype=dtype, device=self.B.device)
        B, A = self.B.to(dtype) * self.scale, self.A.to(dtype)
        out = torch.empty(self.shape, dtype=dtype, device=self.B.device)
        for start, stop in tiles(self.shape):
            torch.mm(B[start:stop], A, out=out[start:stop])
        return out


@dataclass(frozen=True, eq=False)
class Experts:
    """One s·Bₑ·Aₑ per expert: B is (experts, rows, rank), A is (experts, rank, columns), float32;
    the parameter is (experts, rows, columns).
    """

    B: Tensor
    A: Tensor
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return (*self.B.shape[:2], self.A.shape[2])

    def expert(self, index: int) -> LowRank:
        """What was added to one expert."""
        return LowRank(self.B[index], self.A[index], self.scale)

    def rows(self, start: int, stop: int) -> Dense:
        """Rows [start, stop) of the matrix view, in which the experts lie below each other."""
        height = self.B.shape[1]
        blocks = []
        for index in range(start // height, -(-stop // height)):
            first = index * height
            low = self.expert(index).rows(max(start - first, 0), min(stop - first, height))
            blocks.append((low.B * low.scale) @ low.A)
        return Dense(torch.cat(blocks))

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The whole delta."""
        return assemble(self, dtype)


@dataclass(frozen=True, eq=False)
class Sum:
    """Σ cᵢ·δᵢ of deltas of one shape, summed in the order given. Made by `combine`."""

    terms: tuple[tuple[float, Delta], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return self.terms[0][1].shape

    def rows(self, start: int, stop: int) -> Dense:
        """Rows [start, stop) of the sum."""
        (first, delta), *others = self.terms
        total = delta.rows(start, stop).dense() * first
        for coefficient, delta in others:
            total.add_(delta.rows(start, stop).dense(), alpha=coefficient)
        return Dense(total)

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The whole sum, accumulated in float32 tile by tile."""
        return assemble(self, dtype)


def combine(terms: Sequence[tuple[float, Delta]]) -> Delta:
    """Σ cᵢ·δᵢ in factor space as far as it goes: all `LowRank` terms become one with stacked
    factors, and so do all `Experts`.

    A single term with coefficient 1 is returned as it is, so that it keeps its exact values.

    >>> one = LowRank(torch.ones(2, 1), torch.ones(1, 3), 0.5)
    >>> combine([(2.0, one), (1.0, one)]).rank
    2
    """
    flat = [pair for coefficient, delta in terms for pair in _flatten(coefficient, delta)]
    low = [(c, d) for c, d in flat if isinstance(d, LowRank)]
    experts = [(c, d) for c, d in flat if isinstance(d, Experts)]
    other = [(c, d) for c, d in flat if not isinstance(d, LowRank | Experts)]
    if low:
        other.insert(0, (1.0, _stack(low)))
    if experts:
        other.insert(0, (1.0, _stack(experts)))
    if len(other) == 1 and other[0][0] == 1.0:
        return other[0][1]
    return Sum(tuple(other))


def _flatten(coefficient: float, delta: Delta) -> list[tuple[float, Delta]]:
    if isinstance(delta, Sum):
        return [(coefficient * c, d) for c, d in delta.terms]
    return [(coefficient, delta)]


_Factors = TypeVar("_Factors", LowRank, Experts)


def _stack(terms: Sequence[tuple[float, _Factors]]) -> _Factors:
    """One delta with the factors side by side; the rank is B's last dimension and A's last but
    one."""
    kind = type(terms[0][1])
    if len(terms) == 1:
        coefficient, delta = terms[0]
        return kind(delta.B, delta.A, coefficient * delta.scale)
    B = torch.cat([delta.B * (coefficient * delta.scale) for coefficient, delta in terms], dim=-1)
    return kind(B, torch.cat([delta.A for _, delta in terms], dim=-2))


def experts_of(deltas: Sequence[Delta]) -> Delta:
    """The deltas of the experts in their order as one of the fused parameter: factors stay factors.

    >>> experts_of([LowRank(torch.ones(2, 1), torch.ones(1, 3))] * 4).shape
    (4, 2, 3)
    """
    low = [delta for delta in deltas if isinstance(delta, LowRank)]
    if len(low) < len(deltas) or len({delta.rank for delta in low}) > 1:
        return Dense(torch.stack([delta.dense() for delta in deltas]))
    B = torch.stack([delta.B * delta.scale for delta in low])
    return Experts(B, torch.stack([delta.A for delta in low]))


def assemble(delta: Delta, dtype: torch.dtype = torch.float32) -> Tensor:
    """The whole of a delta from its tiles, in the parameter's shape."""
    out: Tensor | None = None
    for start, stop in tiles(delta.shape):
        block = delta.rows(start, stop).dense()
        if out is None:
            out = torch.empty(matrix_shape(delta.shape), dtype=dtype, device=block.device)
        out[start:stop] = block
    return (torch.empty(0, dtype=dtype) if out is None else out).reshape(delta.shape)


def add_delta(delta: Delta, base: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Put rows [start, stop) of a delta onto the base's rows: (base + delta, delta), both float32.

    Deltas that know the trained values (`Exact`) give those, without the rounding of a sum.
    """
    if isinstance(delta, Exact):
        trained = delta.trained_rows(start, stop)
        return trained, trained - base
    added = delta.rows(start, stop).dense()
    return base + added, added
