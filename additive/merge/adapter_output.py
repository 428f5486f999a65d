"""A merge as a PEFT adapter: [w₁s₁B₁ … wₙsₙBₙ]·[A₁; …; Aₙ], exact, of rank Σr; the base is not
read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.deltas.model import Experts, LowRank
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
from additive.tensors.leaves import leaves_of
from additive.tensors.reader import open_file
from additive.tensors.writer import write_file
from additive.types.digests import TensorLeaf, weights_digest

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


def write_adapter(plan: Plan, opened: Sources, out: Path, workers: int) -> MergeReport:
    """Write adapter_model.safetensors (float32) and adapter_config.json into `out`."""
    recipe = plan.recipe
    conclusion = survey_model(recipe, opened, workers)
    names = _merged(recipe, opened)
    made = each(lambda name: _factors(recipe, opened, name, conclusion), names, workers)
    found = dict(zip(names, made, strict=True))
    placed = place(opened, {name: one.delta for name, one in found.items()})
    tensors = {key: tensor for each_place in placed for key, tensor in each_place.tensors.items()}
    write_file(out / FILE, tensors, {"format": "pt"})
    write_json(out / "adapter_config.json", adapter_config(placed, plan.base_id))
    with open_file(out / FILE) as written:
        leaves = leaves_of(written)
    modules = {n: _Module(delta_norm(one.delta), one.energy) for n, one in found.items()}
    return _report(leaves, modules, sum(tensor.nbytes for tensor in tensors.values()), recipe)


def _merged(recipe: Recipe, opened: Sources) -> list[str]:
    return [name for name in opened.parameters() if recipe.part(name).method is not None]


@dataclass(frozen=True)
class _Module:
    """Of what was written for one parameter: its norm, and the share of ‖Δ‖² that is in it."""

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


def _factors(recipe: Recipe, opened: Sources, name: str, conclusion: Any) -> Compressed:
    delta = merged_part(recipe.part(name), stack_of(recipe, opened, name, conclusion))
    if recipe.rank is not None:
        cut = compress(delta, recipe.rank)
        return Compressed(_on_cpu(cut.delta), cut.energy)
    if not isinstance(delta, LowRank | Experts):
        raise CompatibilityError(
            f"{name} is not low-rank after the merge", help="use --output checkpoint"
        )
    kind = type(delta)
    return Compressed(_on_cpu(kind(delta.B * delta.scale, delta.A)), 1.0)


def _on_cpu(delta: LowRank | Experts) -> LowRank | Experts:
    return type(delta)(delta.B.cpu(), delta.A.cpu(), delta.scale)
