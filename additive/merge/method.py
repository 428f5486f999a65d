"""What a merge method may know about one parameter.

Randomness that depends on what is drawn for, never on when.

The number drawn for an element is a function of (seed, parameter, source, row, column): one
PCG64-DXSM stream per parameter and source, which can be entered anywhere. So a mask is the same on
one thread or eight, in any block size, any shard layout and any order of sources.

Ranges of method parameters, checked when a method is built.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy
import torch
from torch import Tensor

from additive.deltas.model import Delta, Experts, matrix_shape, tiles
from additive.deltas.names import is_matrix
from additive.errors import UsageError
from additive.types.digests import canonical_json


@dataclass(frozen=True)
class Draws:
    """The random numbers of one parameter; `first` is the first element of the block that asks."""

    seed: int
    parameter: str
    first: int = 0

    def uniform(self, source: str, shape: tuple[int, int]) -> Tensor:
        """Uniform numbers in [0, 1), float32 with 24 bits, for a block of whole rows.

        >>> draws = Draws(0, "w")
        >>> whole = draws.uniform("math", (4, 3))
        >>> bool((Draws(0, "w", first=6).uniform("math", (2, 3)) == whole[2:]).all())
        True
        """
        count = shape[0] * shape[1]
        skipped = self.first % 2
        words = self._stream(source, self.first // 2).random_raw((count + skipped + 1) // 2)
        halves = words.astype("<u8", copy=False).view("<u4")[skipped : skipped + count]
        return torch.from_numpy((halves >> 8).astype(numpy.float32)).mul_(2.0**-24).reshape(shape)

    def _stream(self, source: str, word: int) -> numpy.random.PCG64DXSM:
        key = hashlib.sha256(canonical_json([self.seed, self.parameter, source]).encode()).digest()
        generator = numpy.random.PCG64DXSM(0)
        generator.state = {
            "bit_generator": "PCG64DXSM",
            "state": {
                "state": int.from_bytes(key[:16], "big"),
                "inc": int.from_bytes(key[16:], "big") | 1,
            },
            "has_uint32": 0,
            "uinteger": 0,
        }
        return generator.advance(word)


Scope = Literal["element", "parameter", "model"]


@dataclass(frozen=True, eq=False)
class DeltaStack:
    """One parameter, or a block of its rows, with what every source that trained it added.

    name      the parameter's name in the base
    base      the base's tensor, as stored (mapped, its own dtype); a block's rows for a block;
              everything else is on its device
    deltas    one per source that trained this parameter, ordered by the sources' digests
    sources   their digests
    weights   their weights in the recipe
    rng       random numbers by source; see `uniform`
    count     how many sources the whole recipe has: absent ones added nothing here
    total     the sum of all the recipe's weights
    survey    what the method's own `survey` found, or None
    layer     (index, number of layers) where the parameter lies in a numbered layer
    grams     per source the second moments of its inputs along all sources' stacked factors on the
              inputs' side, (R, R); none unless the method has `needs_grams`
    inputs    which side of the parameter its module's inputs meet: `columns` of a linear weight, so
              A; `rows` of Conv1D and of an embedding, so Bᵀ
    """

    name: str
    base: Tensor
    deltas: tuple[Delta, ...]
    sources: tuple[str, ...]
    weights: tuple[float, ...]
    rng: Draws
    count: int
    total: float
    survey: Any = None
    layer: tuple[int, int] | None = None
    grams: tuple[Tensor, ...] = ()
    inputs: Literal["columns", "rows"] = "columns"

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape; (rows, columns) for a block."""
        return tuple(self.base.shape)

    @property
    def is_matrix(self) -> bool:
        """Whether it maps inputs to outputs: two dimensions, and no biases of experts."""
        return is_matrix(self.name, self.shape)

    def rows(self, start: int, stop: int) -> DeltaStack:
        """The block of rows [start, stop) of the matrix view."""
        columns = matrix_shape(self.shape)[1]
        return replace(
            self,
            base=self.base.reshape(matrix_shape(self.shape))[start:stop],
            deltas=tuple(delta.rows(start, stop) for delta in self.deltas),
            rng=replace(self.rng, first=self.rng.first + start * columns),
        )

    def experts(self) -> tuple[DeltaStack, ...]:
        """One stack per expert of a fused parameter; none unless every source has factors of each.

        An expert's random numbers are those of its rows in the matrix view.
        """
        fused = [delta for delta in self.deltas if isinstance(delta, Experts)]
        if not fused or len(fused) < len(self.deltas):
            return ()
        size = self.base[0].numel()
        return tuple(
            replace(
                self,
                base=self.base[index],
                deltas=tuple(delta.expert(index) for delta in fused),
                rng=replace(self.rng, first=self.rng.first + index * size),
            )
            for index in range(self.shape[0])
        )

    def blocks(self) -> Iterator[DeltaStack]:
        """All blocks in order, each one tile."""
        for start, stop in tiles(self.shape):
            yield self.rows(start, stop)

    def dense(self) -> tuple[Tensor, ...]:
        """Every delta as a float32 tensor of the stack's shape."""
        return tuple(delta.dense() for delta in self.deltas)

    def uniform(self, source: str) -> Tensor:
        """Uniform numbers in [0, 1) of the stack's shape: a function of seed, name, source and
        element.
        """
        drawn = self.rng.uniform(source, matrix_shape(self.shape)).reshape(self.shape)
        return drawn.to(self.base.device)


class MergeMethod(ABC):
    """A merge method: a frozen dataclass that inherits from this one and whose fields are its
    parameters.

    Only `scope` and `merge` have to be given; every other member says or does nothing until a
    method overrides it.

    scope            `element`: `merge` may be called on blocks of rows; `parameter`: it needs the
                     whole parameter; `model`: it needs a first pass over all parameters
    blockwise        with scope `model`: `merge` may be called on blocks after all
    keeps_factors    promises a `LowRank` where every delta is one, which an adapter can hold
    needs_factors    takes nothing but matrices of `LowRank` deltas
    needs_grams      weighs inputs by what each source saw (`stack.grams`)
    is_linear        promises a weighted sum
    sums_orthogonal  promises the weighted sum of sources that have no direction in common
    dense_differs    treats full fine-tunes otherwise than factors
    cpu_only         computes on no other device than the CPU

    Example:
        @dataclass(frozen=True)
        class Sum(MergeMethod):
            scope: ClassVar[Scope] = "element"

            def merge(self, stack: DeltaStack) -> Tensor:
                return sum(w * delta for w, delta in zip(stack.weights, stack.dense()))
    """

    scope: ClassVar[Scope]
    blockwise: ClassVar[bool] = False
    keeps_factors: ClassVar[bool] = False
    needs_factors: ClassVar[bool] = False
    needs_grams: ClassVar[bool] = False
    is_linear: ClassVar[bool] = False
    sums_orthogonal: ClassVar[bool] = False
    dense_differs: ClassVar[bool] = False
    cpu_only: ClassVar[bool] = False

    @abstractmethod
    def merge(self, stack: DeltaStack) -> Delta | Tensor:
        """The merged delta of one parameter or block, without base and without the recipe's scale:
        pure; a Delta, which may be in factor space or lazy, or a float32 tensor of the stack's
        shape.
        """

    def merge_core(self, core: Any) -> Tensor:
        """The same in core space, for matrices: R×R algebra on an `additive.merge.core.Core`."""
        raise UsageError(f"{type(self).__name__} has no form in core space")

    def survey(self, stack: DeltaStack) -> Any:
        """Small statistics of a whole parameter (thresholds, norms), computed once and handed to
        every block as `stack.survey`.
        """
        return None

    def conclude(self, surveys: Mapping[str, Any]) -> Any:
        """With scope `model`: one value of all parameters' surveys, in the base's order."""
        return None

    def check_weights(self, weights: tuple[float, ...]) -> None:  # noqa: B027 (a hook)
        """Refuse weights, or a number of sources, before any work. Raises: UsageError."""

    def check_ranks(  # noqa: B027 (a hook)
        self, name: str, ranks: tuple[int | None, ...]
    ) -> None:
        """Refuse a parameter by the ranks of its sources' factors, None for a delta that is not
        s·B·A, before any work. Raises: UsageError, CompatibilityError.
        """

    @property
    def has_core_form(self) -> bool:
        """Whether the method overrides `merge_core`."""
        return type(self).merge_core is not MergeMethod.merge_core

    @property
    def has_survey(self) -> bool:
        """Whether the method overrides `survey`."""
        return type(self).survey is not MergeMethod.survey


class Step:
    """A step around a method: a frozen dataclass that overrides what it does.

    `before` a method, a step may change the sources' weights (`balance`) or their core matrices
    (`before_core`); `after` it, the merged core matrix (`after_core`) or its scale (`factor`).
    A step before the method may also undo something after it.
    """

    def balance(self, lengths: Sequence[float]) -> tuple[float, ...]:
        """The factor of every source's weight, from ‖τᵢ‖ of the whole sources."""
        return (1.0,) * len(lengths)

    def before_core(self, core: Any) -> Any:
        """The sources of a matrix in core space, changed: a `Core` from a `Core`."""
        return core

    def after_core(self, merged: Tensor, core: Any) -> Tensor:
        """The merged core matrix, changed; `core` has the sources."""
        return merged

    def factor(self, stack: DeltaStack) -> float:
        """What the merged delta of a parameter is multiplied by."""
        return 1.0

    def overrides(self, name: str) -> bool:
        """Whether the step does anything under this name: `balance`, `before_core`, …"""
        return getattr(type(self), name) is not getattr(Step, name)


SMALLEST_SHARE = 2.0**-24


def check_fraction(method: str, name: str, value: float) -> None:
    """Refuse anything outside (0, 1].

    Raises: UsageError.
    """
    if not 0.0 < value <= 1.0:
        hint = f"; did you mean {value / 100:g}?" if 1.0 < value <= 100.0 else ""
        raise UsageError(f"{name} of {method} is {value:g}; expected in (0, 1]{hint}")


def check_share(method: str, name: str, value: float) -> None:
    """Refuse a random share outside (0, 1], and one that numbers of 24 bits cannot draw: kept more
    often than it says, its elements would be divided by too little.

    Raises: UsageError.
    """
    check_fraction(method, name, value)
    check_at_least(method, name, value, SMALLEST_SHARE)


def check_at_least(method: str, name: str, value: float, least: float) -> None:
    """Refuse anything below `least`, and NaN.

    Raises: UsageError.
    """
    if not value >= least:
        raise UsageError(f"{name} of {method} is {value:g}; expected at least {least:g}")
