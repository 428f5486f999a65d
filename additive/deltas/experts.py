"""`target_parameters`: factors on parameters that are no module's weight, such as fused experts.

PEFT wraps a module once per adapted parameter, the first inside, and names the factors by the
wrapper, not by the parameter:

    model.layers.0.mlp.experts.base_layer.lora_A.weight     gate_up_proj, the inner one
    model.layers.0.mlp.experts.lora_A.weight                down_proj

So the shapes have to tell which is which. Of E experts, A is (E·r, inputs) with the experts below
each other, B is (outputs, r·E) with column j·E + e for expert e, and ΔWₑ = s·Bₑ·Aₑ. transformers
holds all experts in one tensor (E, outputs, inputs), or (E, inputs, outputs) in some models; files
may hold them apart instead, gate and up too: then every expert's matrix gets its own part of the
factors. What the shapes leave open is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations

import torch
from torch import Tensor

from additive.deltas.base import Base
from additive.deltas.model import Experts, LowRank
from additive.deltas.names import find
from additive.deltas.peft_config import AdapterConfig
from additive.deltas.source import AdaptedParameter, AdapterPart, AdapterTarget
from additive.errors import CompatibilityError
from additive.tensors.reader import Checkpoint

_INNER = ".base_layer"


# How files that hold experts apart call the parts of what transformers fuses, outputs in order.
_FUSED = {
    "gate_up_proj": (("gate_proj", "up_proj"), ("w1", "w3")),
    "down_proj": (("down_proj",), ("w2",)),
}


Parts = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class TargetParameter:
    """A parameter that `target_parameters` names, as this base stores it.

    name      PEFT's name without the module
    stored    the base's names: one, or one per expert and part (expert first)
    experts, outputs, inputs  its sizes; `ndim` of it as PEFT sees it
    parts     how many tensors make up one expert
    """

    name: str
    stored: tuple[str, ...]
    ndim: int
    experts: int
    outputs: int
    inputs: int
    parts: int = 1

    @property
    def apart(self) -> bool:
        """Whether the base stores the experts apart."""
        return self.ndim == 3 and len(self.stored) > 1


def split_wrapped(
    parts: Parts, config: AdapterConfig, base: Base
) -> tuple[dict[str, Mapping[str, str]], dict[str, tuple[Mapping[str, str], ...]]]:
    """Ordinary modules, and wrapped ones with their levels from the outermost to the innermost."""
    modules: dict[str, Mapping[str, str]] = {}
    wrapped: dict[str, dict[int, Mapping[str, str]]] = {}
    for module, found in parts.items():
        root = module
        while root.endswith(_INNER):
            root = root.removesuffix(_INNER)
        depth = (len(module) - len(root)) // len(_INNER)
        if {"A", "B"} <= found.keys() and _candidates(root, config, base):
            wrapped.setdefault(root, {})[depth] = found
        else:
            modules[module] = found
    levels = {root: tuple(by[depth] for depth in sorted(by)) for root, by in wrapped.items()}
    return modules, levels


def stacked_places(name: str) -> Iterator[tuple[str, int, int, int]]:
    """Where transformers may hold an expert's matrix that files hold apart: the stack's name, which
    expert, and which part of how many of its outputs.

    >>> list(stacked_places("layers.0.mlp.experts.3.up_proj.weight"))
    [('layers.0.mlp.experts.gate_up_proj', 3, 1, 2)]
    """
    *container, expert, matrix, weight = ["", "", *name.split(".")]
    if weight != "weight" or not expert.isdigit():
        return
    for fused, spelled in _FUSED.items():
        for parts in spelled:
            if matrix in parts:
                stack = ".".join([*container[2:], fused])
                yield stack, int(expert), parts.index(matrix), len(parts)


def check_named(wrapped: Iterable[str], config: AdapterConfig, where: str) -> None:
    """Refuse an adapter that names a parameter and holds no factors of any such.

    Raises: CompatibilityError.
    """
    for target in config.parameters:
        module = target.rpartition(".")[0]
        if not any(f".{root}".endswith(f".{module}") or not module for root in wrapped):
            raise CompatibilityError(
                f"target_parameters names {target}, but the file has no factors of it,"
                " or the base no such parameter",
                where=where,
                help="the base or the file is another one: save the adapter again with PEFT",
            )


def parameter_parts(
    module: str,
    levels: Sequence[Mapping[str, str]],
    checkpoint: Checkpoint,
    config: AdapterConfig,
    base: Base,
    where: str,
) -> list[tuple[str, AdapterPart]]:
    """The parts of one wrapped module, by the base's names.

    Raises: CompatibilityError when the factors fit no parameter, or more than one.
    """
    candidates = _candidates(module, config, base)
    shapes = [(checkpoint.info(p["A"]).shape, checkpoint.info(p["B"]).shape) for p in levels]
    fitting = list(_fitting(module, candidates, shapes, config))
    hints = _orientations(candidates, base)
    if len(fitting) > 1 and len(hints) == 1:
        fitting = [(chosen, turned) for chosen, turned in fitting if {turned} == hints]
    if len(fitting) != 1:
        raise _unclear(module, candidates, shapes, len(fitting), where)
    chosen, transposed = fitting[0]
    parts = []
    for depth, (adapted, keys) in enumerate(zip(chosen, levels, strict=True)):
        named = f"{module}.{adapted.name}"
        rank, scale = config.rank_of(named), config.scale_of(named)
        parameter = AdaptedParameter(
            adapted.name, depth, adapted.experts, parts=adapted.parts, transposed=transposed
        )
        factors = _Factors(checkpoint, keys["A"], keys["B"], rank, adapted, scale, transposed)
        parts += factors.parts(AdapterTarget(module, "parameter", parameter))
    return parts


@dataclass(frozen=True, eq=False)
class _Factors:
    """One level's factors, cut to what a stored parameter needs when it is asked for."""

    checkpoint: Checkpoint
    key_of_a: str
    key_of_b: str
    rank: int
    adapted: TargetParameter
    scale: float
    transposed: bool

    def parts(self, target: AdapterTarget) -> Iterator[tuple[str, AdapterPart]]:
        adapted, parameter = self.adapted, target.parameter
        assert parameter is not None
        if adapted.ndim == 2:
            yield adapted.stored[0], AdapterPart(partial(self._one, 0, 0), target, self.rank)
        elif not adapted.apart:
            yield adapted.stored[0], AdapterPart(self._all, target)
        else:
            for position, name in enumerate(adapted.stored):
                expert, part = divmod(position, adapted.parts)
                own = replace(target, parameter=replace(parameter, expert=expert, part=part))
                yield name, AdapterPart(partial(self._one, expert, part), own, self.rank)

    def _one(self, expert: int, part: int) -> LowRank:
        height = self.adapted.outputs // self.adapted.parts
        B = self._tensor(self.key_of_b)[:, expert :: self.adapted.experts]
        A = self._tensor(self.key_of_a)[expert * self.rank : (expert + 1) * self.rank]
        rows = B[part * height : (part + 1) * height]
        return LowRank(_float(rows), _float(A), self.scale)

    def _all(self) -> Experts:
        A = self._tensor(self.key_of_a).reshape(self.adapted.experts, self.rank, -1)
        B = self._tensor(self.key_of_b)
        B = B.reshape(len(B), self.rank, self.adapted.experts).permute(2, 0, 1)
        if self.transposed:
            A, B = B.transpose(1, 2), A.transpose(1, 2)
        return Experts(_float(B), _float(A), self.scale)

    def _tensor(self, key: str) -> Tensor:
        return self.checkpoint.tensor(key)


def _float(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32).contiguous()


def _candidates(module: str, config: AdapterConfig, base: Base) -> list[TargetParameter]:
    """The module's parameters that `target_parameters` names, by PEFT's rule: the ends of names."""
    names = dict.fromkeys(
        name
        for target in config.parameters
        if f".{module}.{(name := target.rpartition('.')[2])}".endswith(f".{target}")
    )
    found = (_adapted(module, name, base) for name in names)
    return [adapted for adapted in found if adapted is not None]


def _adapted(module: str, name: str, base: Base) -> TargetParameter | None:
    stored = find(f"{module}.{name}", base)
    if stored is not None:
        shape = base.shape(stored)
        if len(shape) not in (2, 3):
            return None
        experts, (outputs, inputs) = (1, *shape)[-3], shape[-2:]
        return TargetParameter(name, (stored,), len(shape), experts, outputs, inputs)
    for parts in _FUSED.get(name, ((name,),)):
        first = [find(f"{module}.0.{part}.weight", base) for part in parts]
        if None not in first:
            return _apart(name, [str(each) for each in first], parts, base)
    return None


def _apart(
    name: str, first: Sequence[str], parts: Sequence[str], base: Base
) -> TargetParameter | None:
    stored, experts = [], 0
    while True:
        of_this = [
            f"{known.removesuffix(f'0.{part}.weight')}{experts}.{part}.weight"
            for known, part in zip(first, parts, strict=True)
        ]
        if not all(base.has(each) for each in of_this):
            break
        stored += of_this
        experts += 1
    shapes = {base.shape(each) for each in stored}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2:
        return None
    return TargetParameter(
        name, tuple(stored), 3, experts, len(parts) * shape[0], shape[1], len(parts)
    )


def _fitting(
    module: str,
    candidates: Sequence[TargetParameter],
    shapes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
    config: AdapterConfig,
) -> Iterator[tuple[tuple[TargetParameter, ...], bool]]:
    """Every way to give the levels to the parameters, and to read stored experts."""
    stacked = any(adapted.ndim == 3 and not adapted.apart for adapted in candidates)
    for transposed in (False, True) if stacked else (False,):
        for chosen in permutations(candidates):
            wanted = [_shapes(each, config.rank_of(f"{module}.{each.name}"), transposed)
                      for each in chosen]  # fmt: skip
            if wanted == list(shapes):
                yield chosen, transposed


def _shapes(
    adapted: TargetParameter, rank: int, transposed: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    sides = (adapted.outputs, adapted.inputs)
    turned = transposed and adapted.ndim == 3 and not adapted.apart
    outputs, inputs = reversed(sides) if turned else sides
    return (rank * adapted.experts, inputs), (outputs, rank * adapted.experts)


def _orientations(candidates: Sequence[TargetParameter], base: Base) -> set[bool]:
    """What the base's own stacked experts say: their hidden side is that of config.json."""
    text = base.config.get("text_config") or base.config
    hidden, votes = text.get("hidden_size"), set()
    for adapted in candidates:
        container = adapted.stored[0].rpartition(".")[0]
        for name in base.names():
            if name.rpartition(".")[0] != container or len(shape := base.shape(name)) != 3:
                continue
            if (shape[1] == hidden) != (shape[2] == hidden):
                down = "down" in name.rpartition(".")[2]
                votes.add((shape[2] == hidden) == down)
    return votes


def _unclear(
    module: str,
    candidates: Sequence[TargetParameter],
    shapes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
    ways: int,
    where: str,
) -> CompatibilityError:
    held = ", ".join(
        f"{each.name} {[each.experts, each.outputs, each.inputs]}" for each in candidates
    )
    factors = ", ".join(f"{list(A)} and {list(B)}" for A, B in shapes)
    fits = "fit none of them" if not ways else "fit them in more than one way"
    return CompatibilityError(
        f"{module} has factors of shape {factors} when target_parameters names {held}: they {fits}",
        where=where,
        help="merge it into its base with PEFT in float32 and take the full checkpoint",
    )
