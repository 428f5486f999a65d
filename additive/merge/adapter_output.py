"""A merge as a PEFT adapter: [w₁s₁B₁ … wₙsₙBₙ]·[A₁; …; Aₙ], exact, of rank Σr; the base is not
read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from additive.deltas.model import Delta, Experts, LowRank
from additive.deltas.norms import delta_norm
from additive.deltas.source import DeltaSource
from additive.errors import CompatibilityError, IntegrityError, UsageError
from additive.merge.adapter_places import adapter_config, check_places, place
from additive.merge.building import method_name
from additive.merge.compose import merged_part
from additive.merge.compress import Compressed, compress, energy_kept
from additive.merge.plan import DTYPES, Plan
from additive.merge.recipe import Recipe
from additive.merge.report import MergeReport
from additive.merge.sidefiles import write_json
from additive.merge.stacks import Sources
from additive.merge.survey import stack_of, survey_model
from additive.merge.threads import each
from additive.tensors.dtypes import ITEM_BYTES, torch_dtype
from additive.tensors.writer import SYNC_BYTES, LayoutWriter, bytes_of, layout_of
from additive.types.digests import TensorLeaf, digest_bytes, weights_digest

FILE = "adapter_model.safetensors"


def check_adapter_output(recipe: Recipe, opened: Sources) -> None:
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
        if recipe.rank is None and not getattr(method, "keeps_factors", False):
            raise UsageError(
                f"output is adapter when {method_name(method)} leaves the adapters' factors",
                help="use --output checkpoint, add --rank K, or take swudi, task_arithmetic,"
                " linear, tsv_m, svc, pico, iso_c, ctm or core/ties",
            )
        for position in opened.touching(name):
            _check_source(name, opened.sources[position], recipe.rank)
    check_places(opened, _merged(recipe, opened))


def _check_source(name: str, source: DeltaSource, rank: int | None) -> None:
    if source.target(name) is None or (rank is None and source.kind != "lora"):
        raise CompatibilityError(
            f"{name} was trained as {source.kind} without factors of its own, which no LoRA"
            " adapter can hold exactly",
            where=source.name,
            help="use --output checkpoint"
            + (", or --rank K for the nearest of that rank" if source.target(name) else ""),
        )


def adapter_bytes(recipe: Recipe, opened: Sources, touched: Iterable[str]) -> int:
    """Bytes of the factors of a merge: those of the recipe's rank, or of all sources' side by
    side.
    """
    item, numbers = ITEM_BYTES[DTYPES[recipe.dtype] or "F32"], 0
    for name in touched:
        *experts, rows, columns = opened.base.shape(name)
        summed = sum(rank or 0 for rank in opened.ranks(name))
        rank = min(recipe.rank, rows, columns) if recipe.rank else summed
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
    placed = place(opened, {name: one.delta for name, one in modules.items()})
    dtype = _dtype(recipe)
    tensors = {key: tensor.to(dtype) for one in placed for key, tensor in one.tensors.items()}
    leaves = _write(out / FILE, tensors, workers, sync_bytes)
    write_json(out / "adapter_config.json", adapter_config(placed, plan.base_id))
    size = sum(tensor.nbytes for tensor in tensors.values())
    return _report(leaves, modules, opened.layers, size, recipe.rank)


def _dtype(recipe: Recipe) -> torch.dtype:
    return torch_dtype(DTYPES[recipe.dtype] or "F32")


def _merged(recipe: Recipe, opened: Sources) -> list[str]:
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


def _module(recipe: Recipe, opened: Sources, name: str, conclusion: Any) -> _Module:
    delta = merged_part(recipe.part(name), stack_of(recipe, opened, name, conclusion))
    cut = _factors(delta, name) if recipe.rank is None else compress(delta, recipe.rank)
    unscaled, dtype = _unscaled(cut.delta), _dtype(recipe)
    norm, lost = delta_norm(unscaled), _lost(unscaled, dtype)
    if not math.isfinite(norm + lost):
        raise IntegrityError(
            f"{name} is not finite after the merge when its factors should fit {dtype}",
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
