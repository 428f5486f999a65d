"""From an adapter's tensors to parts: which parameter of the base each changes, and how.

What an adapter's module says against what its configuration and the base say.

Every function raises CompatibilityError with what mends it, or says nothing.

Whether an adapter's file holds all that its configuration says was trained.

PEFT leaves at its base's values what is not in the file, with a warning. Nothing warns in a merge,
so what is missing is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from additive.deltas.base import FLOATS, Base, is_transposed
from additive.deltas.experts import check_named, parameter_parts, split_wrapped
from additive.deltas.initial import without_initial
from additive.deltas.lazy import Difference, Dora, Ia3, TokenRows, TrainedValues, WholeTensor
from additive.deltas.model import Dense, LowRank
from additive.deltas.names import (
    AdapterKeys,
    check_rows,
    check_shape,
    find,
    parse_keys,
    resolve,
)
from additive.deltas.peft_config import AdapterConfig
from additive.deltas.source import AdapterPart, AdapterTarget
from additive.deltas.vocabulary import fitted, with_new_rows
from additive.errors import CompatibilityError
from additive.tensors.reader import Checkpoint

MERGE_FIRST = "merge it into its base with PEFT in float32 and take the full checkpoint"


OTHER_CONFIG = "the configuration belongs to another adapter: copy both files again"


Shape = tuple[int, ...]


def refuse_unset(
    module: str, tensors: Mapping[str, str], config: AdapterConfig, where: str
) -> None:
    """Refuse tensors that the configuration does not switch on: PEFT would leave them out."""
    switches = (
        ("magnitude", "a DoRA magnitude", "use_dora", config.dora),
        ("B_bias", "a bias of its factors", "lora_bias", config.lora_bias),
    )
    for part, what, switch, on in switches:
        if part in tensors and not on:
            raise CompatibilityError(
                f"{module} has {what}, but {switch} is not set in adapter_config.json",
                where=where,
                help=f"set {switch} if it was trained so, or copy both files again",
            )


def own_bias(module: str, base: Base, where: str) -> str:
    """The base's name of a module's bias, which a lora_bias is added to."""
    found = find(f"{module}.bias", base)
    if found is not None:
        return found
    raise CompatibilityError(
        f"{module} has a lora_bias, but the base has no bias there",
        where=where,
        help="train without lora_bias: no weight of this base can hold what it adds",
    )


def check_matrices(module: str, A: Shape, B: Shape, where: str) -> None:
    """Refuse factors that are no matrices: of convolutions, or shards that were not gathered."""
    if len(A) == len(B) == 2 and 0 not in (*A, *B):
        return
    said, help = "convolutions cannot be merged yet", MERGE_FIRST
    if len(A) <= 2:
        said = "they look like shards of DeepSpeed or FSDP that were not gathered"
        help = "save the adapter again from the gathered model"
    raise CompatibilityError(
        f"{module} has factors of shape {list(A)} and {list(B)}; expected matrices: {said}",
        where=where,
        help=help,
    )


def check_rank(module: str, A: Shape, B: Shape, rank: int, where: str) -> None:
    """Refuse factors of another rank than the configuration's."""
    if A[0] != rank or B[1] != rank:
        raise CompatibilityError(
            f"{module} has rank {A[0]} and {B[1]}; its configuration says {rank}",
            where=where,
            help="the configuration belongs to another adapter, or rank_pattern is missing",
        )


def check_magnitude(module: str, found: Shape, expected: int, where: str) -> None:
    """Refuse a DoRA magnitude that has not one number per output."""
    if found != (expected,):
        raise CompatibilityError(
            f"{module} has a DoRA magnitude of shape {list(found)}; expected [{expected}]",
            where=where,
            help=OTHER_CONFIG,
        )


def check_tokens(
    module: str, found: Shape, indices: tuple[int, ...], embedding: Shape, where: str
) -> None:
    """Refuse trained rows that the configuration names otherwise, or that the base lacks."""
    rows, columns = embedding
    if found != (len(indices), columns) or len(set(indices)) != len(indices):
        raise CompatibilityError(
            f"{module} has trained tokens of shape {list(found)} when"
            f" trainable_token_indices name {len(indices)}",
            where=where,
            help=OTHER_CONFIG,
        )
    if indices and not 0 <= min(indices) <= max(indices) < rows:
        raise CompatibilityError(
            f"{module} has trained token {max(indices)}; the base has {rows} tokens",
            where=where,
            help="give the base the same added tokens first",
        )


Parts = Mapping[str, Mapping[str, str]]


def check_complete(
    config: AdapterConfig, modules: Parts, changed: Collection[str], base: Base, where: str
) -> None:
    """Refuse an adapter that lacks modules_to_save, trained tokens or biases of its configuration.

    modules  its tensors by module and part; `changed` the base's names of all that it changes

    Raises: CompatibilityError naming the first parameter that is missing.
    """
    for key, missing in _missing(config, modules, changed, base):
        raise CompatibilityError(
            f"{missing} is not in the file, but {key} says that it was trained",
            where=where,
            help="the file is incomplete: save the adapter again from one gathered model",
        )


def _missing(
    config: AdapterConfig, modules: Parts, changed: Collection[str], base: Base
) -> Iterator[tuple[str, str]]:
    floats = [name for name in base.names() if base.dtype(name) in FLOATS]
    for name in floats:
        if name not in changed and _is_saved(name, config.saved):
            yield "modules_to_save", name
    for name in floats:
        if name not in changed and _is_trained_bias(name, config, changed, base):
            yield f"bias: {config.bias}", name
    indices = config.token_indices
    wanted = tuple(indices) if isinstance(indices, Mapping) else ("",) * bool(indices)
    for name in wanted:
        if not any(
            "tokens" in tensors and module.endswith(name) for module, tensors in modules.items()
        ):
            yield "trainable_token_indices", f"a row of {name or 'the embedding'}"
    for module, tensors in modules.items():
        if config.lora_bias and "A" in tensors and "B_bias" not in tensors:
            yield "lora_bias", f"{module}.lora_B.bias"


def _is_saved(parameter: str, saved: Collection[str]) -> bool:
    """PEFT's rule: a module of this ending, or anything below such a one."""
    module = parameter
    while "." in module:
        module = module.rpartition(".")[0]
        if any(module.endswith(name) for name in saved):
            return True
    return False


def _is_trained_bias(
    name: str, config: AdapterConfig, changed: Collection[str], base: Base
) -> bool:
    # Beside a weight: GPT-2's files call a causal mask `attn.bias`.
    weight = f"{name.removesuffix('.bias')}.weight"
    if not name.endswith(".bias") or not base.has(weight):
        return False
    return config.bias == "all" or (config.bias == "lora_only" and weight in changed)


@dataclass(frozen=True, eq=False)
class AdapterReader:
    """Turns an adapter's keys into parts, checking shapes against the base.

    where    the adapter's name in messages
    initial  the factors that training started from, where the delta is counted from them
    """

    checkpoint: Checkpoint
    base: Base
    config: AdapterConfig
    where: str
    initial: Mapping[str, Tensor]

    def parts(self, keys: AdapterKeys) -> dict[str, tuple[AdapterPart, ...]]:
        """By the base's name of every parameter that is changed, how.

        Raises: CompatibilityError for names, shapes or ranks that do not fit base or configuration.
        """
        found: dict[str, list[AdapterPart]] = {}
        modules, wrapped = split_wrapped(keys.modules, self.config, self.base)
        check_named(wrapped, self.config, self.where)
        for module, levels in wrapped.items():
            self._add(found, self._parameters(module, levels))
        for module, tensors in modules.items():
            self._check_selected(module, tensors)
            self._check_base_copy(module, tensors)
            self._add(found, self._module(module, tensors))
        for parameter, key in keys.saved.items():
            known = resolve(parameter, self.base, self.where)
            self._add(found, [(known, self._saved(known, key))])
        check_complete(self.config, modules, found, self.base, self.where)
        return {parameter: tuple(parts) for parameter, parts in found.items()}

    def _add(
        self, found: dict[str, list[AdapterPart]], parts: Sequence[tuple[str, AdapterPart]]
    ) -> None:
        """Add a module's parts; two modules, or factors and a whole tensor, contradict each other.

        Raises: CompatibilityError.
        """
        twice = sorted({parameter for parameter, _ in parts} & found.keys())
        if twice:
            raise CompatibilityError(
                f"{twice[0]} is changed by two modules of the adapter, or by factors and whole,"
                " when one of them should",
                where=self.where,
                help="save the adapter again with PEFT's save_pretrained",
            )
        for parameter, part in parts:
            found.setdefault(parameter, []).append(part)

    def _parameters(
        self, module: str, levels: Sequence[Mapping[str, str]]
    ) -> list[tuple[str, AdapterPart]]:
        if self.initial:
            raise CompatibilityError(
                f"{module} is adapted by target_parameters on an initialisation that changes the"
                " base, which is not known here",
                where=self.where,
            )
        return parameter_parts(module, levels, self.checkpoint, self.config, self.base, self.where)

    def _module(self, module: str, tensors: Mapping[str, str]) -> list[tuple[str, AdapterPart]]:
        parts: list[tuple[str, AdapterPart]] = []
        if ("scales" in tensors) != (self.config.kind == "ia3"):
            raise CompatibilityError(
                f"{module} has {', '.join(sorted(tensors))}; the adapter is"
                f" {self.config.kind.upper()}",
                where=self.where,
                help=OTHER_CONFIG,
            )
        if "scales" in tensors:
            return self._scaled(module, tensors["scales"])
        refuse_unset(module, tensors, self.config, self.where)
        if "A" in tensors or "embedding_A" in tensors:
            weight = resolve(f"{module}.weight", self.base, self.where)
            parts.append((weight, self._factors(module, weight, tensors)))
        if "tokens" in tensors:
            weight = resolve(f"{module}.weight", self.base, self.where)
            parts.append((weight, self._tokens(module, weight, tensors)))
        if "trained_bias" in tensors:
            bias = resolve(f"{module}.bias", self.base, self.where)
            parts.append((bias, self._saved(bias, tensors["trained_bias"])))
        if "B_bias" in tensors:
            bias = own_bias(module, self.base, self.where)
            check_shape(bias, self._shape(tensors["B_bias"]), self.base, self.where)
            scale, key = self.config.scale_of(module), tensors["B_bias"]
            parts.append((bias, AdapterPart(lambda: Dense(self._float(key) * scale))))
        return parts

    def _scaled(self, module: str, key: str) -> list[tuple[str, AdapterPart]]:
        """IA3: columns of the weight (feed-forward), or its rows and the bias, times a vector."""
        weight, shape = resolve(f"{module}.weight", self.base, self.where), self._shape(key)
        stored, length = self.base.shape(weight), max(shape, default=0)
        inputs = shape == (1, length)
        if shape not in ((1, length), (length, 1)) or length not in stored or len(stored) != 2:
            raise CompatibilityError(
                f"{module} has scales of shape {list(shape)}; its weight has shape {list(stored)}",
                where=self.where,
                help="merge it into the base it was trained on",
            )
        other = stored[0] if stored[1] == length else stored[1]
        sides = (length, other) if inputs else (other, length)
        transposed = is_transposed(weight, *sides, self.base, self._transposed, self.where)
        by_column = inputs != transposed
        changed = [(weight, by_column)]
        bias = f"{weight.removesuffix('.weight')}.bias"
        if not inputs and bias in self.base.checkpoint:
            changed.append((bias, True))
        return [
            (name, AdapterPart(partial(self._scale, name, key, across))) for name, across in changed
        ]

    def _scale(self, name: str, key: str, by_column: bool) -> Difference:
        scales = self._float(key).reshape(-1)
        return self._became(name, lambda base: Ia3(base, scales, by_column))

    def _factors(self, module: str, weight: str, tensors: Mapping[str, str]) -> AdapterPart:
        embedding = "embedding_A" in tensors
        if self.base.is_resized(weight):
            raise CompatibilityError(
                f"{module} has factors, and its rows become {self.base.rows}: what they add to rows"
                " that the base lacks is not known",
                where=self.where,
                help=MERGE_FIRST,
            )
        key_A, key_B = (tensors[f"embedding_{x}" if embedding else x] for x in "AB")
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

        if "magnitude" not in tensors:
            if self.config.dora:
                raise CompatibilityError(
                    f"{module} has no DoRA magnitude", where=self.where, help=OTHER_CONFIG
                )
            rank = self.config.rank_of(module) * (2 if self.initial else 1)
            return AdapterPart(low_rank, target, rank)
        key_m = tensors["magnitude"]
        outputs = self.base.shape(weight)[1 if transposed else 0]
        check_magnitude(module, self._shape(key_m), outputs, self.where)
        magnitude = partial(self._float, key_m)
        return AdapterPart(
            lambda: self._became(weight, lambda W: Dora(W, low_rank(), magnitude(), transposed)),
            target,
        )

    def _check_factors(
        self, module: str, weight: str, key_A: str, key_B: str, embedding: bool
    ) -> bool:
        shape_A, shape_B = self._shape(key_A), self._shape(key_B)
        check_matrices(module, shape_A, shape_B, self.where)
        check_rank(module, shape_A, shape_B, self.config.rank_of(module), self.where)
        inputs, outputs = shape_A[1], shape_B[0]
        if embedding:
            check_shape(weight, (inputs, outputs), self.base, self.where)
            return True
        return is_transposed(weight, inputs, outputs, self.base, self._transposed, self.where)

    def _tokens(self, module: str, weight: str, tensors: Mapping[str, str]) -> AdapterPart:
        key = tensors["tokens"]
        indices = self.config.tokens_of(module)
        embedding = self.base.shape(weight)
        check_tokens(module, self._shape(key), indices, (embedding[0], embedding[1]), self.where)
        copy = tensors.get("base_copy")

        def trained(W: Tensor) -> TokenRows:
            start = W if copy is None else with_new_rows(self._tensor(copy), weight, self.base)
            return TokenRows(start, indices, self._float(key))

        return AdapterPart(lambda: self._became(weight, trained), tokens=True)

    def _saved(self, parameter: str, key: str) -> AdapterPart:
        check_rows(parameter, self._shape(key), self.base, self.where)
        return AdapterPart(
            lambda: self._became(
                parameter,
                lambda _: WholeTensor(fitted(self._tensor(key), parameter, self.base)),
            )
        )

    def _became(self, parameter: str, trained: Callable[[Tensor], TrainedValues]) -> Difference:
        """What was added to a parameter, given what it became from the base's values."""
        base = self.base.tensor(parameter)
        return Difference(trained(base), base)

    def _check_selected(self, module: str, tensors: Mapping[str, str]) -> None:
        """Refuse factors that the configuration does not select: PEFT would leave them out."""
        weight = find(f"{module}.weight", self.base)
        if weight in self.base.aliases:  # adapted with its embedding, by `ensure_weight_tying`
            return
        field = self.config.unselected(module)
        if field is not None and {"A", "embedding_A", "scales"} & tensors.keys():
            raise CompatibilityError(
                f"{module} is in the file, but {field} of adapter_config.json does not select it",
                where=self.where,
                help=OTHER_CONFIG,
            )

    @cached_property
    def _transposed(self) -> bool:
        """How square weights lie: as the oblong ones of the same adapter do; where there is none,
        as `fan_in_fan_out` says. PEFT ignores the flag where the module's class contradicts it.
        """
        for module, tensors in parse_keys(self.checkpoint.names(), self.where).modules.items():
            if "A" in tensors and "B" in tensors:
                sides = self._shape(tensors["B"])[:1] + self._shape(tensors["A"])[1:]
                weight = find(f"{module}.weight", self.base)
                stored = self.base.shape(weight) if weight else ()
                if len(sides) == 2 and sides[0] != sides[1]:
                    if stored == sides:
                        return False
                    if stored == sides[::-1]:
                        return True
        return self.config.fan_in_fan_out

    def _check_base_copy(self, module: str, tensors: Mapping[str, str]) -> None:
        if "base_copy" not in tensors:
            return
        weight = resolve(f"{module}.weight", self.base, self.where)
        check_rows(weight, self._shape(tensors["base_copy"]), self.base, self.where)
        copy = self._tensor(tensors["base_copy"])
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

    def _tensor(self, key: str) -> Tensor:
        return self.checkpoint.tensor(key)

    def _float(self, key: str) -> Tensor:
        return self._tensor(key).to(torch.float32)
