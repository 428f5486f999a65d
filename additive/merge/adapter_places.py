"""Where PEFT looks for the factors of a merged adapter: names, ranks, configuration.

A module's weight has `module.lora_A.weight` and `module.lora_B.weight`. A parameter that
`target_parameters` names has them at a wrapper of its module, one `base_layer` deeper for every
other parameter that PEFT wraps after it, for all experts at once: A is (experts·r, inputs), B is
(outputs, r·experts) with column j·experts + e for expert e. Gate and up of one expert are one
parameter there: with one A where they have the same, else with block-diagonal factors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from additive.deltas.model import Experts, LowRank
from additive.deltas.source import AdapterTarget, Slot
from additive.errors import CompatibilityError
from additive.merge.stacks import Sources

_PREFIX = "base_model.model."
Factors = LowRank | Experts


@dataclass(frozen=True, eq=False)
class Place:
    """One module, or one parameter of a module, with its tensors.

    name  PEFT's: of the module, or of the parameter
    """

    name: str
    rank: int
    orientation: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def place(opened: Sources, deltas: Mapping[str, Factors]) -> list[Place]:
    """Where every merged delta lies, those of one PEFT parameter together, in the base's order."""
    modules: list[Place] = []
    slots: dict[tuple[str, str], list[tuple[Slot, Factors]]] = {}
    for name, delta in deltas.items():
        target = _target(opened, name)
        if target.slot is None:
            assert isinstance(delta, LowRank)
            tensors = _module_tensors(target, delta)
            modules.append(Place(target.module, delta.rank, target.orientation, tensors))
        else:
            key = target.module, target.slot.parameter
            slots.setdefault(key, []).append((target.slot, delta))
    depths = _depths(opened, deltas)
    for (module, parameter), held in slots.items():
        modules.append(_parameter(module, parameter, depths[module, parameter], held))
    return modules


def check_places(opened: Sources, names: Sequence[str]) -> None:
    """Refuse what no adapter of PEFT can say.

    Raises: CompatibilityError when the order of a module's parameters is not known, or when Conv1D
    modules and `target_parameters` meet.
    """
    _depths(opened, names)
    kinds = {_target(opened, name).orientation for name in names}
    if {"conv1d", "parameter"} <= kinds:
        raise CompatibilityError(
            "sources adapt Conv1D modules and target_parameters, which no adapter of PEFT can do"
            " at once",
            help="use --output checkpoint",
        )


def adapter_config(places: Sequence[Place], base_id: str) -> dict[str, Any]:
    """The commonest rank is `r`, others are in rank_pattern; alpha = rank everywhere: s is 1."""
    common = Counter(each.rank for each in places).most_common(1)[0][0]
    others = {
        _anchored(each.name): each.rank
        for each in sorted(places, key=lambda each: each.name)
        if each.rank != common
    }
    parameters = sorted(each.name for each in places if each.orientation == "parameter")
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_id,
        "r": common,
        "lora_alpha": common,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(e.name for e in places if e.orientation != "parameter"),
        **({"target_parameters": parameters} if parameters else {}),
        "fan_in_fan_out": any(each.orientation == "conv1d" for each in places),
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
        "init_lora_weights": True,
    }


def _anchored(name: str) -> str:
    # PEFT matches keys as regular expressions at the end of the name.
    return "^" + name.replace(".", r"\.")


def _target(opened: Sources, name: str) -> AdapterTarget:
    targets = [opened.sources[i].target(name) for i in opened.touching(name)]
    return next(target for target in targets if target is not None)


def _module_tensors(target: AdapterTarget, delta: LowRank) -> dict[str, Tensor]:
    stem = f"{_PREFIX}{target.module}"
    if target.orientation == "linear":
        return {f"{stem}.lora_A.weight": delta.A, f"{stem}.lora_B.weight": delta.B}
    A, B = delta.B.T.contiguous(), delta.A.T.contiguous()
    if target.orientation == "embedding":
        return {f"{stem}.lora_embedding_A": A, f"{stem}.lora_embedding_B": B}
    return {f"{stem}.lora_A.weight": A, f"{stem}.lora_B.weight": B}


def _depths(opened: Sources, names: Iterable[str]) -> dict[tuple[str, str], int]:
    """How deep PEFT nests each adapted parameter: in the order of a source that adapts them all."""
    wanted: dict[str, set[str]] = {}
    for name in names:
        target = _target(opened, name)
        if target.slot is not None:
            wanted.setdefault(target.module, set()).add(target.slot.parameter)
    seen: list[dict[str, dict[str, int]]] = []
    for source in opened.sources:
        by_module: dict[str, dict[str, int]] = {}
        for target in (source.target(name) for name in source.parameters()):
            if target is not None and target.slot is not None:
                by_module.setdefault(target.module, {})[target.slot.parameter] = target.slot.depth
        seen.append(by_module)
    found = {}
    for module, parameters in wanted.items():
        order = next((by[module] for by in seen if parameters <= by.get(module, {}).keys()), None)
        if order is None:
            raise CompatibilityError(
                f"{module} has {', '.join(sorted(parameters))} adapted by different sources, none"
                " of which says in which order PEFT nests them",
                help="use --output checkpoint",
            )
        for depth, parameter in enumerate(sorted(parameters, key=order.__getitem__)):
            found[module, parameter] = depth
    return found


def _parameter(
    module: str, parameter: str, depth: int, held: Sequence[tuple[Slot, Factors]]
) -> Place:
    """One parameter's factors for all of its experts, each padded to the largest rank."""
    experts = [_expert(blocks) for blocks in _by_expert(held)]
    rank = max(low.rank for low in experts)
    A = torch.zeros(len(experts), rank, experts[0].A.shape[1])
    B = torch.zeros(experts[0].B.shape[0], rank, len(experts))
    for index, low in enumerate(experts):
        A[index, : low.rank], B[:, : low.rank, index] = low.A, low.B
    stem = f"{_PREFIX}{module}{'.base_layer' * depth}"
    tensors = {
        f"{stem}.lora_A.weight": A.reshape(-1, A.shape[2]),
        f"{stem}.lora_B.weight": B.reshape(B.shape[0], -1),
    }
    return Place(f"{module}.{parameter}", rank, "parameter", tensors)


def _by_expert(held: Sequence[tuple[Slot, Factors]]) -> list[list[LowRank]]:
    """Per expert its parts in order, outputs × inputs; nothing where a part was not merged."""
    slot, first = held[0]
    if isinstance(first, Experts):
        each = [first.expert(index) for index in range(slot.experts)]
        return [[LowRank(low.A.T, low.B.T) if slot.transposed else low] for low in each]
    height, width = first.shape
    nothing = LowRank(torch.zeros(height, 0), torch.zeros(0, width))
    parts = [[nothing] * slot.parts for _ in range(slot.experts)]
    for place_of, low in held:
        assert isinstance(low, LowRank)
        parts[place_of.expert or 0][place_of.part] = low
    return parts


def _expert(parts: Sequence[LowRank]) -> LowRank:
    first = parts[0]
    if all(torch.equal(part.A, first.A) for part in parts[1:]):
        return LowRank(torch.cat([part.B for part in parts]), first.A)
    return LowRank(
        torch.block_diag(*(part.B for part in parts)), torch.cat([part.A for part in parts])
    )
