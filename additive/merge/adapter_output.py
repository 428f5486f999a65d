"""A merge as a PEFT adapter: [w₁s₁B₁ … wₙsₙBₙ]·[A₁; …; Aₙ], exact, of rank Σr; the base is not
read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from additive.deltas.model import Delta, Experts, LowRank
from additive.deltas.norms import delta_norm
from additive.deltas.source import DeltaSource
from additive.errors import CompatibilityError, UsageError
from additive.merge.adapter_places import adapter_config, check_places, place
from additive.merge.building import method_name
from additive.merge.compose import merged_part
from additive.merge.compress import Compressed, compress
from additive.merge.plan import Plan
from additive.merge.recipe import Recipe
from additive.merge.report import MergeReport
from additive.merge.sidefiles import write_json
from additive.merge.stacks import Sources
from additive.merge.survey import stack_of, survey_model
from additive.merge.threads import each
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
                " linear, tsv_m, svc, pico or iso_c",
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
            help="use --output checkpoint",
        )


def write_adapter(
    plan: Plan, opened: Sources, out: Path, workers: int, sync_bytes: int = SYNC_BYTES
) -> MergeReport:
    """Write adapter_model.safetensors (float32) and adapter_config.json into `out`."""
    recipe = plan.recipe
    conclusion = survey_model(recipe, opened, workers)
    names = _merged(recipe, opened)
    made = each(lambda name: _module(recipe, opened, name, conclusion), names, workers)
    modules = dict(zip(names, made, strict=True))
    placed = place(opened, {name: one.delta for name, one in modules.items()})
    tensors = {key: tensor for each_place in placed for key, tensor in each_place.tensors.items()}
    leaves = _write(out / FILE, tensors, workers, sync_bytes)
    write_json(out / "adapter_config.json", adapter_config(placed, plan.base_id))
    return _report(leaves, modules, sum(tensor.nbytes for tensor in tensors.values()), recipe)


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
            writer.flush(sync_bytes)
        return tuple(leaves)


@dataclass(frozen=True, eq=False)
class _Module:
    """What is written for one parameter, its norm, and the share of ‖Δ‖² that is in it."""

    delta: LowRank | Experts
    norm: float
    energy: float


def _report(
    leaves: tuple[TensorLeaf, ...], modules: Mapping[str, _Module], size: int, recipe: Recipe
) -> MergeReport:
    whole = {name: m.norm / m.energy**0.5 if m.energy else 0.0 for name, m in modules.items()}
    lost = {name: max(1.0 - m.energy, 0.0) ** 0.5 for name, m in modules.items()}
    total = sum(norm**2 for norm in whole.values())
    left_out = sum((lost[name] * norm) ** 2 for name, norm in whole.items())
    notes = ()
    if recipe.rank is not None:
        least = min(modules, key=lambda name: modules[name].energy)
        notes = (
            f"rank {recipe.rank} keeps {1 - left_out / total if total else 1:.1%} of ‖Δ‖², least"
            f" in {least}: {modules[least].energy:.1%}",
        )
    return MergeReport(
        leaves=leaves,
        weights=weights_digest(leaves),
        rounded_away=(left_out / total) ** 0.5 if total else 0.0,
        by_parameter=lost if recipe.rank is not None else {},
        norms={name: module.norm for name, module in modules.items()},
        bytes_written=size,
        notes=notes,
    )


def _module(recipe: Recipe, opened: Sources, name: str, conclusion: Any) -> _Module:
    delta = merged_part(recipe.part(name), stack_of(recipe, opened, name, conclusion))
    cut = _factors(delta, name) if recipe.rank is None else compress(delta, recipe.rank)
    unscaled = _unscaled(cut.delta)
    return _Module(unscaled, delta_norm(unscaled), cut.energy)


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
