"""Deltas whose trained values are computed from mapped files when a block of them is asked for.

`Difference` is the trained values minus the base's; what was trained is one of

`WholeTensor`  a tensor: of a full fine-tune, or of a module that was saved whole
`Dora`         m/‖W + s·B·A‖·(W + s·B·A), exactly as the layer computes it
`TokenRows`    an embedding with some rows replaced by trained ones
`Ia3`          W times a trained vector, as IA3 has it

The trained values are known, so one of these at weight 1 gives them, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from additive.deltas.model import Dense, LowRank, assemble, matrix_shape, tiles


class TrainedValues(Protocol):
    """What a parameter has become, row by row."""

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop) of the matrix view, float32, never the mapped memory itself."""
        ...


@dataclass(frozen=True, eq=False)
class Difference:
    """Trained values minus base values; `base` may be mapped, of any float dtype."""

    trained: TrainedValues
    base: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return tuple(self.base.shape)

    def rows(self, start: int, stop: int) -> Dense:
        """Rows [start, stop) of the matrix view, subtracted in float32."""
        return Dense(self.trained_rows(start, stop).sub_(_rows(self.base, start, stop)))

    def trained_rows(self, start: int, stop: int) -> Tensor:
        """The trained rows, float32, never the mapped memory itself."""
        return self.trained.rows(start, stop)

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The whole difference."""
        return assemble(self, dtype)


@dataclass(frozen=True, eq=False)
class WholeTensor:
    """Values that are there as a tensor, which may be mapped, of any float dtype."""

    tensor: Tensor

    def rows(self, start: int, stop: int) -> Tensor:
        """The tensor's rows."""
        return _copied(self.tensor, start, stop)


@dataclass(frozen=True, eq=False)
class Dora:
    """The weight of DoRA (Liu et al., 2024, arXiv:2402.09353).

    W' = m/n ⊙ (W + s·B·A), n the norms of W + s·B·A. For a Linear weight (out, in) m has one entry
    per row; for Conv1D and Embedding weights it has one per column (`by_column`), and the norms
    need a pass over all rows first. `low_rank` has the weight's own orientation.
    """

    base: Tensor
    low_rank: LowRank
    magnitude: Tensor
    by_column: bool

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop) of W'."""
        moved = self._moved(start, stop)
        if self.by_column:
            return moved.mul_(self._column_factor)
        norm = torch.linalg.vector_norm(moved, dim=1)
        return moved.mul_((self.magnitude[start:stop].float() / norm).unsqueeze(1))

    def _moved(self, start: int, stop: int) -> Tensor:
        return self.low_rank.rows(start, stop).dense().add_(self.base[start:stop])

    @cached_property
    def _column_factor(self) -> Tensor:
        squares = torch.zeros(self.base.shape[1], dtype=torch.float64)
        for start, stop in tiles(tuple(self.base.shape)):
            squares += self._moved(start, stop).double().square_().sum(dim=0)
        return self.magnitude.float() / squares.sqrt_().float()


@dataclass(frozen=True, eq=False)
class TokenRows:
    """An embedding in which row `indices[i]` became `values[i]`; every other row is the base's.

    Of `indices` each is named once; `values` is (tokens, columns).
    """

    base: Tensor
    indices: tuple[int, ...]
    values: Tensor

    def rows(self, start: int, stop: int) -> Tensor:
        """The embedding's rows [start, stop) with the trained ones in place."""
        out = _copied(self.base, start, stop)
        for position, index in enumerate(self.indices):
            if start <= index < stop:
                out[index - start] = self.values[position]
        return out


@dataclass(frozen=True, eq=False)
class Ia3:
    """The weight of IA3 (Liu et al., 2022, arXiv:2205.05638): l ⊙ W.

    `scales` multiplies the columns of the matrix view (`by_column`), or its rows; a bias is one
    row.
    """

    base: Tensor
    scales: Tensor
    by_column: bool

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop) of l ⊙ W."""
        scales = self.scales if self.by_column else self.scales[start:stop].unsqueeze(1)
        return _copied(self.base, start, stop).mul_(scales)


def _rows(tensor: Tensor, start: int, stop: int) -> Tensor:
    return tensor.reshape(matrix_shape(tuple(tensor.shape)))[start:stop]


def _copied(tensor: Tensor, start: int, stop: int) -> Tensor:
    return _rows(tensor, start, stop).to(torch.float32, copy=True)
