"""PEFT adapters: LoRA in all its scalings, DoRA, trained biases, tokens and whole modules.

One module may change one parameter in several ways (factors on a weight, a trained bias plus a
factor's bias); their deltas are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from additive.deltas.base import Base
from additive.deltas.finite import non_finite_tensors
from additive.deltas.initial import read_initial, without_initial
from additive.deltas.keys import AdapterKeys, parse_keys
from additive.deltas.lazy import Difference, Dora, TokenRows
from additive.deltas.model import Delta, Dense, LowRank, combine
from additive.deltas.names import check_shape, resolve
from additive.deltas.orientation import is_transposed
from additive.deltas.peft_config import AdapterConfig, read_adapter_config
from additive.deltas.source import AdapterTarget
from additive.errors import CompatibilityError
from additive.tensors.reader import Checkpoint, open_file
from additive.types.digests import Digest


@dataclass(frozen=True)
class Piece:
    """One way in which an adapter changes one parameter: `read` makes the delta from mapped
    tensors; `rank` is that of plain factors.
    """

    read: Callable[[], Delta]
    target: AdapterTarget | None = None
    rank: int | None = None
    tokens: bool = False


@dataclass(frozen=True, eq=False)
class AdapterSource:
    """The deltas of one PEFT adapter."""

    name: str
    digest: Digest
    base: Base
    checkpoint: Checkpoint
    config: AdapterConfig
    pieces: Mapping[str, tuple[Piece, ...]]

    @property
    def kind(self) -> str:
        """`dora` or `lora`."""
        return "dora" if self.config.dora else "lora"

    def parameters(self) -> tuple[str, ...]:
        """The trained parameters in the base's order."""
        return tuple(name for name in self.base.names() if name in self.pieces)

    def shape(self, name: str) -> tuple[int, ...]:
        """A parameter's shape."""
        return self.base.shape(name)

    def delta(self, name: str) -> Delta:
        """The parameter's delta: a single piece as it is, several summed."""
        return combine([(1.0, piece.read()) for piece in self.pieces[name]])

    def shares(self, alias: str, stored: str) -> bool:
        """Whether the head still equals the embedding: neither changed, or both alike.

        PEFT applies trained tokens to both sides of a tied pair, everything else to one.
        """
        head, embedding = self.pieces.get(alias), self.pieces.get(stored)
        if head is None and embedding is not None and all(piece.tokens for piece in embedding):
            return True
        if head is not None and embedding is not None:
            return _same(self.delta(alias), self.delta(stored))
        touched = alias if head is not None else stored if embedding is not None else None
        return touched is None or _is_zero(self.delta(touched))

    def target(self, name: str) -> AdapterTarget | None:
        """Where an adapter would hold this delta; None unless it is one pair of factors."""
        pieces = self.pieces.get(name, ())
        return pieces[0].target if len(pieces) == 1 else None

    def rank(self, name: str) -> int | None:
        """The rank of a parameter's factors; None unless it is one plain pair of them."""
        pieces = self.pieces.get(name, ())
        return pieces[0].rank if len(pieces) == 1 else None

    def non_finite(self) -> tuple[str, ...]:
        """The names of tensors with NaN or infinity."""
        return non_finite_tensors(self.checkpoint, self.checkpoint.names())

    def nbytes(self) -> int:
        """All bytes of the adapter."""
        return sum(self.checkpoint.info(name).nbytes for name in self.checkpoint.names())

    def close(self) -> None:
        """Let go of the file."""
        self.checkpoint.close()


def open_adapter(directory: Path, base: Base, name: str, digest: Digest) -> AdapterSource:
    """Open an adapter against its base, from headers alone.

    Raises: CompatibilityError, IntegrityError, SecurityError; see `open_deltas`.
    """
    where = f"{name} ({directory})"
    config = read_adapter_config(directory)
    checkpoint = open_file(directory / "adapter_model.safetensors")
    keys = parse_keys(checkpoint.names(), where)
    initial = read_initial(config, checkpoint, where)
    if not keys.parts and not keys.saved:
        raise CompatibilityError("adapter holds no tensors", where=where)
    reader = _Reader(checkpoint, base, config, where, initial)
    return AdapterSource(name, digest, base, checkpoint, config, reader.pieces(keys))


@dataclass(frozen=True, eq=False)
class _Reader:
    """Turns keys into pieces, checking shapes against the base."""

    checkpoint: Checkpoint
    base: Base
    config: AdapterConfig
    where: str
    initial: Mapping[str, Tensor]

    def pieces(self, keys: AdapterKeys) -> dict[str, tuple[Piece, ...]]:
        found: dict[str, list[Piece]] = {}
        for module, parts in keys.parts.items():
            self._check_base_copy(module, parts)
            for parameter, piece in self._module(module, parts):
                found.setdefault(parameter, []).append(piece)
        for parameter, key in keys.saved.items():
            known = resolve(parameter, self.base, self.where)
            found.setdefault(known, []).append(self._saved(known, key))
        return {parameter: tuple(pieces) for parameter, pieces in found.items()}

    def _module(self, module: str, parts: Mapping[str, str]) -> list[tuple[str, Piece]]:
        pieces: list[tuple[str, Piece]] = []
        if "A" in parts or "embedding_A" in parts:
            weight = resolve(f"{module}.weight", self.base, self.where)
            pieces.append((weight, self._factors(module, weight, parts)))
        if "tokens" in parts:
            weight = resolve(f"{module}.weight", self.base, self.where)
            pieces.append((weight, self._tokens(module, weight, parts["tokens"])))
        if "trained_bias" in parts:
            bias = resolve(f"{module}.bias", self.base, self.where)
            pieces.append((bias, self._saved(bias, parts["trained_bias"])))
        if "B_bias" in parts:
            bias = resolve(f"{module}.bias", self.base, self.where)
            check_shape(bias, self._shape(parts["B_bias"]), self.base, self.where)
            scale, key = self.config.scale_of(module), parts["B_bias"]
            pieces.append((bias, Piece(lambda: Dense(self._float(key) * scale))))
        return pieces

    def _factors(self, module: str, weight: str, parts: Mapping[str, str]) -> Piece:
        embedding = "embedding_A" in parts
        key_A, key_B = (parts[f"embedding_{x}" if embedding else x] for x in "AB")
        transposed = self._check_factors(module, weight, key_A, key_B, embedding)
        scale, orientation = self.config.scale_of(module), "conv1d" if transposed else "linear"
        target = AdapterTarget(module, "embedding" if embedding else orientation)

        def low_rank() -> LowRank:
            A, B = without_initial(
                self._float(key_A), self._float(key_B), self._start(key_A, key_B)
            )
            return (
                LowRank(A.T.contiguous(), B.T.contiguous(), scale)
                if transposed
                else LowRank(B, A, scale)
            )

        if "magnitude" not in parts:
            if self.config.dora:
                raise CompatibilityError(f"{module} has no DoRA magnitude", where=self.where)
            rank = self.config.rank_of(module) * (2 if self.initial else 1)
            return Piece(low_rank, target, rank)
        key_m = parts["magnitude"]
        self._check_magnitude(module, key_m, self.base.shape(weight)[1 if transposed else 0])
        return Piece(
            lambda: Dora(self.base.tensor(weight), low_rank(), self._float(key_m), transposed)
        )

    def _check_factors(
        self, module: str, weight: str, key_A: str, key_B: str, embedding: bool
    ) -> bool:
        shape_A, shape_B = self._shape(key_A), self._shape(key_B)
        if len(shape_A) != 2 or len(shape_B) != 2:
            raise CompatibilityError(
                f"{module} has factors of shape {list(shape_A)} and {list(shape_B)} when they"
                " should be matrices: convolutions cannot be merged yet",
                where=self.where,
            )
        rank = self.config.rank_of(module)
        if shape_A[0] != rank or shape_B[1] != rank:
            raise CompatibilityError(
                f"{module} has rank {shape_A[0]} and {shape_B[1]} when its config says {rank}",
                where=self.where,
                help="the configuration belongs to another adapter, or rank_pattern is missing",
            )
        inputs, outputs = shape_A[1], shape_B[0]
        if embedding:
            check_shape(weight, (inputs, outputs), self.base, self.where)
            return True
        config = self.config
        return is_transposed(weight, inputs, outputs, self.base, config.fan_in_fan_out, self.where)

    def _check_magnitude(self, module: str, key: str, expected: int) -> None:
        if self._shape(key) != (expected,):
            raise CompatibilityError(
                f"{module} has a DoRA magnitude of shape {list(self._shape(key))} when it should be"
                f" [{expected}]",
                where=self.where,
            )

    def _tokens(self, module: str, weight: str, key: str) -> Piece:
        indices, shape = self.config.tokens_of(module), self._shape(key)
        rows, columns = self.base.shape(weight)
        if shape != (len(indices), columns) or len(set(indices)) != len(indices):
            raise CompatibilityError(
                f"{module} has trained tokens of shape {list(shape)} when"
                f" trainable_token_indices name {len(indices)}",
                where=self.where,
            )
        if indices and not 0 <= min(indices) <= max(indices) < rows:
            raise CompatibilityError(
                f"{module} has trained token {max(indices)} when the base has {rows} tokens",
                where=self.where,
                help="give the base the same added tokens first",
            )
        return Piece(
            lambda: TokenRows(self.base.tensor(weight), indices, self._float(key)), tokens=True
        )

    def _saved(self, parameter: str, key: str) -> Piece:
        check_shape(parameter, self._shape(key), self.base, self.where)
        return Piece(lambda: Difference(self.checkpoint.tensor(key), self.base.tensor(parameter)))

    def _check_base_copy(self, module: str, parts: Mapping[str, str]) -> None:
        if "base_copy" not in parts:
            return
        weight = resolve(f"{module}.weight", self.base, self.where)
        check_shape(weight, self._shape(parts["base_copy"]), self.base, self.where)
        copy = self.checkpoint.tensor(parts["base_copy"])
        if not torch.equal(self.base.tensor(weight).to(copy.dtype), copy):
            raise CompatibilityError(
                f"its own copy of {weight} is not the base's: it was trained on another base",
                where=self.where,
                help="merge it into the base it was trained on",
            )

    def _start(self, key_A: str, key_B: str) -> tuple[Tensor, Tensor] | None:
        return (self.initial[key_A], self.initial[key_B]) if self.initial else None

    def _shape(self, key: str) -> tuple[int, ...]:
        return self.checkpoint.info(key).shape

    def _float(self, key: str) -> Tensor:
        return self.checkpoint.tensor(key).to(torch.float32)


def _same(one: Delta, other: Delta) -> bool:
    if isinstance(one, LowRank) and isinstance(other, LowRank):
        return (
            one.scale == other.scale and torch.equal(one.A, other.A) and torch.equal(one.B, other.B)
        )
    if isinstance(one, Difference) and isinstance(other, Difference):
        return torch.equal(one.trained, other.trained)
    return False


def _is_zero(delta: Delta) -> bool:
    if isinstance(delta, LowRank):
        return not (delta.A.any() and delta.B.any())
    return isinstance(delta, Difference) and torch.equal(
        delta.trained, delta.base.to(delta.trained.dtype)
    )
