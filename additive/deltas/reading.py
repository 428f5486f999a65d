"""From an adapter's tensors to pieces: which parameter of the base each changes, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from additive.deltas.base import Base
from additive.deltas.initial import without_initial
from additive.deltas.keys import AdapterKeys
from additive.deltas.lazy import Difference, Dora, Scaled, TokenRows, Trained, Whole
from additive.deltas.model import Dense, LowRank
from additive.deltas.names import check_rows, check_shape, resolve
from additive.deltas.orientation import is_transposed
from additive.deltas.parameters import check_named, parameter_pieces, split_wrapped
from additive.deltas.peft_config import AdapterConfig
from additive.deltas.piece import Piece
from additive.deltas.source import AdapterTarget
from additive.deltas.vocabulary import fitted
from additive.errors import CompatibilityError
from additive.tensors.reader import Checkpoint


@dataclass(frozen=True, eq=False)
class AdapterReader:
    """Turns an adapter's keys into pieces, checking shapes against the base.

    where    the adapter's name in messages
    initial  the factors that training started from, where the delta is counted from them
    """

    checkpoint: Checkpoint
    base: Base
    config: AdapterConfig
    where: str
    initial: Mapping[str, Tensor]

    def pieces(self, keys: AdapterKeys) -> dict[str, tuple[Piece, ...]]:
        """By the base's name of every parameter that is changed, how.

        Raises: CompatibilityError for names, shapes or ranks that do not fit base or configuration.
        """
        found: dict[str, list[Piece]] = {}
        modules, wrapped = split_wrapped(keys.parts, self.config, self.base)
        check_named(wrapped, self.config, self.where)
        for module, levels in wrapped.items():
            for parameter, piece in self._parameters(module, levels):
                found.setdefault(parameter, []).append(piece)
        for module, parts in modules.items():
            self._check_base_copy(module, parts)
            for parameter, piece in self._module(module, parts):
                found.setdefault(parameter, []).append(piece)
        for parameter, key in keys.saved.items():
            known = resolve(parameter, self.base, self.where)
            found.setdefault(known, []).append(self._saved(known, key))
        return {parameter: tuple(pieces) for parameter, pieces in found.items()}

    def _parameters(
        self, module: str, levels: Sequence[Mapping[str, str]]
    ) -> list[tuple[str, Piece]]:
        if self.initial:
            raise CompatibilityError(
                f"{module} is adapted by target_parameters on an initialisation that changes the"
                " base, which is not known here",
                where=self.where,
            )
        return parameter_pieces(module, levels, self.checkpoint, self.config, self.base, self.where)

    def _module(self, module: str, parts: Mapping[str, str]) -> list[tuple[str, Piece]]:
        pieces: list[tuple[str, Piece]] = []
        if ("scales" in parts) != (self.config.kind == "ia3"):
            raise CompatibilityError(
                f"{module} has {', '.join(sorted(parts))} when the adapter is"
                f" {self.config.kind.upper()}",
                where=self.where,
            )
        if "scales" in parts:
            return self._scaled(module, parts["scales"])
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

    def _scaled(self, module: str, key: str) -> list[tuple[str, Piece]]:
        """IA3: columns of the weight (feed-forward), or its rows and the bias, times a vector."""
        weight, shape = resolve(f"{module}.weight", self.base, self.where), self._shape(key)
        stored, length = self.base.shape(weight), max(shape, default=0)
        inputs = shape == (1, length)
        if shape not in ((1, length), (length, 1)) or length not in stored or len(stored) != 2:
            raise CompatibilityError(
                f"{module} has scales of shape {list(shape)} when its weight is {list(stored)}",
                where=self.where,
            )
        other = stored[0] if stored[1] == length else stored[1]
        sides = (length, other) if inputs else (other, length)
        transposed = is_transposed(
            weight, *sides, self.base, self.config.fan_in_fan_out, self.where
        )
        by_column = inputs != transposed
        changed = [(weight, by_column)]
        bias = f"{weight.removesuffix('.weight')}.bias"
        if not inputs and bias in self.base.checkpoint:
            changed.append((bias, True))
        return [(name, Piece(partial(self._scale, name, key, across))) for name, across in changed]

    def _scale(self, name: str, key: str, by_column: bool) -> Difference:
        scales = self._float(key).reshape(-1)
        return self._became(name, lambda base: Scaled(base, scales, by_column))

    def _factors(self, module: str, weight: str, parts: Mapping[str, str]) -> Piece:
        embedding = "embedding_A" in parts
        if self.base.is_resized(weight):
            raise CompatibilityError(
                f"{module} has factors when its rows become {self.base.rows}: what they add to rows"
                " that the base lacks is not known",
                where=self.where,
                help="merge it into its base with PEFT in float32 and take the full checkpoint",
            )
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
        magnitude = partial(self._float, key_m)
        return Piece(
            lambda: self._became(weight, lambda W: Dora(W, low_rank(), magnitude(), transposed))
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
            lambda: self._became(weight, lambda W: TokenRows(W, indices, self._float(key))),
            tokens=True,
        )

    def _saved(self, parameter: str, key: str) -> Piece:
        check_rows(parameter, self._shape(key), self.base, self.where)
        return Piece(
            lambda: self._became(
                parameter,
                lambda _: Whole(fitted(self.checkpoint.tensor(key), parameter, self.base)),
            )
        )

    def _became(self, parameter: str, trained: Callable[[Tensor], Trained]) -> Difference:
        """What was added to a parameter, given what it became from the base's values."""
        base = self.base.tensor(parameter)
        return Difference(trained(base), base)

    def _check_base_copy(self, module: str, parts: Mapping[str, str]) -> None:
        if "base_copy" not in parts:
            return
        weight = resolve(f"{module}.weight", self.base, self.where)
        check_rows(weight, self._shape(parts["base_copy"]), self.base, self.where)
        copy = self.checkpoint.tensor(parts["base_copy"])
        known = self.base.checkpoint.tensor(self.base.stored(weight))[: len(copy)]
        if not torch.equal(known.to(copy.dtype), copy[: len(known)]):
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
