"""A merge as a PEFT adapter: [w₁s₁B₁ … wₙsₙBₙ]·[A₁; …; Aₙ], exact, of rank Σr; the base is not
read.

Where PEFT looks for the factors of a merged adapter: names, ranks, configuration.

A module's weight has `module.lora_A.weight` and `module.lora_B.weight`. A parameter that
`target_parameters` names has them at a wrapper of its module, one `base_layer` deeper for every
other parameter that PEFT wraps after it, for all experts at once: A is (experts·r, inputs), B is
(outputs, r·experts) with column j·experts + e for expert e. Gate and up of one expert are one
parameter there: with one A where they have the same, else with block-diagonal factors.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from additive.deltas.model import Delta, Experts, LowRank
from additive.deltas.source import AdaptedParameter, AdapterTarget, DeltaSource, delta_norm
from additive.errors import CompatibilityError, IntegrityError, UsageError
from additive.merge.apply import merged_part, stack_of, survey_model
from additive.merge.compress import Compressed, compress, energy_kept
from additive.merge.planned import DTYPES, MergeReport, Plan
from additive.merge.recipe import BuiltRecipe, method_name
from additive.merge.side_files import write_json
from additive.merge.sources import Sources
from additive.merge.threads import each
from additive.tensors.header import ITEM_BYTES, torch_dtype
from additive.tensors.writer import SYNC_BYTES, LayoutWriter, bytes_of, layout_of
from additive.types.digests import TensorLeaf, digest_bytes, weights_digest

_PREFIX = "base_model.model."


Factors = LowRank | Experts


@dataclass(frozen=True, eq=False)
class PeftModule:
    """One module, or one parameter of a module, with its tensors.

    name  PEFT's: of the module, or of the parameter
    """

    name: str
    rank: int
    orientation: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def peft_modules(opened: Sources, deltas: Mapping[str, Factors]) -> list[PeftModule]:
    """Where every merged delta lies, those of one PEFT parameter together, in the base's order."""
    modules: list[PeftModule] = []
    adapted: dict[tuple[str, str], list[tuple[AdaptedParameter, Factors]]] = {}
    for name, delta in deltas.items():
        target = _target(opened, name)
        if target.parameter is None:
            assert isinstance(delta, LowRank)
            tensors = _module_tensors(target, delta)
            modules.append(PeftModule(target.module, delta.rank, target.orientation, tensors))
        else:
            key = target.module, target.parameter.name
            adapted.setdefault(key, []).append((target.parameter, delta))
    depths = _depths(opened, deltas)
    for (module, parameter), held in adapted.items():
        modules.append(_parameter(module, parameter, depths[module, parameter], held))
    return modules


def check_peft_modules(opened: Sources, names: Sequence[str]) -> None:
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


def adapter_config(modules: Sequence[PeftModule], base_id: str) -> dict[str, Any]:
    """The commonest rank is `r`, others are in rank_pattern; alpha = rank everywhere: s is 1."""
    common = Counter(each.rank for each in modules).most_common(1)[0][0]
    others = {
        _anchored(each.name): each.rank
        for each in sorted(modules, key=lambda each: each.name)
        if each.rank != common
    }
    parameters = sorted(each.name for each in modules if each.orientation == "parameter")
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_id,
        "r": common,
        "lora_alpha": common,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(e.name for e in modules if e.orientation != "parameter"),
        **({"target_parameters": parameters} if parameters else {}),
        "fan_in_fan_out": any(each.orientation == "conv1d" for each in modules),
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
        if target.parameter is not None:
            wanted.setdefault(target.module, set()).add(target.parameter.name)
    seen: list[dict[str, dict[str, int]]] = []
    for source in opened.sources:
        by_module: dict[str, dict[str, int]] = {}
        for target in (source.target(name) for name in source.parameters()):
            if target is not None and target.parameter is not None:
                by_module.setdefault(target.module, {})[target.parameter.name] = (
                    target.parameter.depth
                )
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
    module: str, parameter: str, depth: int, held: Sequence[tuple[AdaptedParameter, Factors]]
) -> PeftModule:
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
    return PeftModule(f"{module}.{parameter}", rank, "parameter", tensors)


def _by_expert(held: Sequence[tuple[AdaptedParameter, Factors]]) -> list[list[LowRank]]:
    """Per expert its parts in order, outputs × inputs; nothing where a part was not merged."""
    parameter, first = held[0]
    if isinstance(first, Experts):
        each = [first.expert(index) for index in range(parameter.experts)]
        return [[LowRank(low.A.T, low.B.T) if parameter.transposed else low] for low in each]
    height, width = first.shape
    nothing = LowRank(torch.zeros(height, 0), torch.zeros(0, width))
    parts = [[nothing] * parameter.parts for _ in range(parameter.experts)]
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


FILE = "adapter_model.safetensors"


def check_adapter_output(recipe: BuiltRecipe, opened: Sources) -> None:
    """Refuse a merge that no adapter can hold: exactly, or at the recipe's rank where one is given.

    Raises: UsageError for a method that leaves factor space, CompatibilityError for a parameter
    that LoRA has no factors for.
    """
    if opened.base.resized:
        raise CompatibilityError(
            f"embedding and head get {opened.base.rows} rows, which no adapter can say",
            help="use --output checkpoint",
        )
    for name in opened.parameters():
        method = recipe.part(name).method
        if method is None:
            continue
        if recipe.settings.rank is None and not (method is not None and method.keeps_factors):
            raise UsageError(
                f"output cannot be adapter: {method_name(method)} leaves the adapters' factors",
                help="use --output checkpoint, add --rank K, or take swudi, task_arithmetic,"
                " linear, tsv_m, svc, pico, iso_c, ctm or core/ties",
            )
        for position in opened.touching(name):
            _check_source(name, opened.sources[position], recipe.settings.rank)
    check_peft_modules(opened, _merged(recipe, opened))


def _check_source(name: str, source: DeltaSource, rank: int | None) -> None:
    if source.target(name) is None or (rank is None and source.kind != "lora"):
        raise CompatibilityError(
            f"{name} was trained as {source.kind} without factors of its own, which no LoRA"
            " adapter can hold exactly",
            where=source.name,
            help="use --output checkpoint"
            + (", or --rank K for the nearest of that rank" if source.target(name) else ""),
        )


def adapter_bytes(recipe: BuiltRecipe, opened: Sources, touched: Iterable[str]) -> int:
    """Bytes of the factors of a merge: those of the recipe's rank, or of all sources' side by
    side.
    """
    item, numbers = ITEM_BYTES[DTYPES[recipe.settings.dtype] or "F32"], 0
    for name in touched:
        *experts, rows, columns = opened.base.shape(name)
        summed = sum(rank or 0 for rank in opened.ranks(name))
        rank = min(recipe.settings.rank, rows, columns) if recipe.settings.rank else summed
        numbers += math.prod(experts) * (rows + columns) * rank
    return item * numbers


def write_adapter(
    plan: Plan, opened: Sources, out: Path, workers: int, sync_bytes: int = SYNC_BYTES
) -> MergeReport:
    """Write adapter_model.safetensors (float32, or the recipe's dtype) and adapter_config.json into
    `out`.

    Raises: IntegrityError for factors that are not finite in that dtype.
    """
    recipe = plan.recipe
    conclusion = survey_model(recipe, opened, workers)
    names = _merged(recipe, opened)
    made = each(lambda name: _module(recipe, opened, name, conclusion), names, workers)
    modules = dict(zip(names, made, strict=True))
    written = peft_modules(opened, {name: one.delta for name, one in modules.items()})
    dtype = _dtype(recipe)
    tensors = {key: tensor.to(dtype) for one in written for key, tensor in one.tensors.items()}
    leaves = _write(out / FILE, tensors, workers, sync_bytes)
    write_json(out / "adapter_config.json", adapter_config(written, plan.base_id))
    size = sum(tensor.nbytes for tensor in tensors.values())
    return _report(leaves, modules, opened.layers, size, recipe.settings.rank)


def _dtype(recipe: BuiltRecipe) -> torch.dtype:
    return torch_dtype(DTYPES[recipe.settings.dtype] or "F32")


def _merged(recipe: BuiltRecipe, opened: Sources) -> list[str]:
    return [name for name in opened.parameters() if recipe.part(name).method is not None]


def _write(
    path: Path, tensors: Mapping[str, Tensor], workers: int, sync_bytes: int
) -> tuple[TensorLeaf, ...]:
    """Hash and write tensors in threads, while the disk takes what has been written."""
    layout = layout_of(tensors)
    with LayoutWriter(path, layout, {"format": "pt"}) as writer:

        def leaf(entry: tuple[str, str, tuple[int, ...]]) -> TensorLeaf:
            name, dtype, shape = entry
            data = bytes_of(tensors[name])
            writer.write(name, 0, data)
            return TensorLeaf(name, dtype, shape, digest_bytes(data))

        leaves = []
        for each_leaf in each(leaf, layout, workers):
            leaves.append(each_leaf)
            writer.flush(writer.infos[each_leaf.name].nbytes, sync_bytes)
        return tuple(leaves)


@dataclass(frozen=True, eq=False)
class _Module:
    """What is written for one parameter: ‖Δ‖, what rounding the factors takes of it, and the share
    of ‖Δ‖² that their rank kept.
    """

    delta: LowRank | Experts
    norm: float
    lost: float
    energy: float


def _report(
    leaves: tuple[TensorLeaf, ...],
    modules: Mapping[str, _Module],
    layers: Mapping[str, tuple[int, int]],
    size: int,
    rank: int | None,
) -> MergeReport:
    """What a rank leaves out is `energy`; only what a dtype takes of the factors is rounding."""
    norms = {name: one.norm for name, one in modules.items()}
    energy = {name: one.energy for name, one in modules.items()} if rank is not None else {}
    total = math.hypot(*norms.values())
    lost = math.hypot(*(one.lost for one in modules.values()))
    return MergeReport(
        leaves=leaves,
        weights=weights_digest(leaves),
        rounded_away=lost / total if total else 0.0,
        by_parameter={name: one.lost / one.norm for name, one in modules.items() if one.norm},
        norms=norms,
        bytes_written=size,
        notes=(f"rank {rank} {energy_kept(norms, energy, layers)}",) if energy else (),
        energy=energy,
    )


def _module(recipe: BuiltRecipe, opened: Sources, name: str, conclusion: Any) -> _Module:
    delta = merged_part(recipe.part(name), stack_of(recipe, opened, name, conclusion))
    cut = (
        _factors(delta, name)
        if recipe.settings.rank is None
        else compress(delta, recipe.settings.rank)
    )
    unscaled, dtype = _unscaled(cut.delta), _dtype(recipe)
    norm, lost = delta_norm(unscaled), _lost(unscaled, dtype)
    if not math.isfinite(norm + lost):
        raise IntegrityError(
            f"{name} is not finite after the merge: its factors do not fit {dtype}",
            help="lower --scale or the weights, or merge with --dtype float32 or bfloat16",
        )
    return _Module(unscaled, norm, lost, cut.energy)


def _lost(delta: LowRank | Experts, dtype: torch.dtype) -> float:
    """‖B̂Â − BA‖ of rounded factors, as the norm of one delta."""
    if dtype == torch.float32:
        return 0.0
    B, A = delta.B.to(dtype).float(), delta.A.to(dtype).float()
    apart = torch.cat([B, -delta.B], dim=-1), torch.cat([A, delta.A], dim=-2)
    return delta_norm(type(delta)(*apart))


def _factors(delta: Delta, name: str) -> Compressed:
    if not isinstance(delta, LowRank | Experts):
        raise CompatibilityError(
            f"{name} is not low-rank after the merge", help="use --output checkpoint"
        )
    return Compressed(delta, 1.0)


def _unscaled(delta: LowRank | Experts) -> LowRank | Experts:
    """The same with scale 1, on the processor."""
    B = delta.B if delta.scale == 1.0 else delta.B * delta.scale
    return type(delta)(B.cpu(), delta.A.cpu())
