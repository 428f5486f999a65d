"""A merge as a PEFT adapter: [w₁s₁B₁ … wₙsₙBₙ]·[A₁; …; Aₙ], exact, of rank Σr; the base is not
read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from additive.deltas.model import LowRank
from additive.deltas.norms import delta_norm
from additive.deltas.source import AdapterTarget, DeltaSource
from additive.errors import CompatibilityError, UsageError
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
_PREFIX = "base_model.model."


def check_adapter_output(recipe: Recipe, opened: Sources) -> None:
    """Refuse a merge that no adapter can hold: exactly, or at the recipe's rank where one is given.

    Raises: UsageError for a method that leaves factor space, CompatibilityError for a parameter
    that LoRA has no factors for.
    """
    for name in opened.parameters():
        method = recipe.part(name).method
        if method is None:
            continue
        if recipe.rank is None and not getattr(method, "keeps_factors", False):
            raise UsageError(
                f"output is adapter when {method_name(method)} leaves the adapters' factors",
                help="use --output checkpoint, add --rank K, or take task_arithmetic,"
                " linear, tsv_m, svc, pico or iso_c",
            )
        for position in opened.touching(name):
            _check_source(name, opened.sources[position], recipe.rank)


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
    names = [name for name in opened.parameters() if recipe.part(name).method is not None]
    made = each(lambda name: _factors(recipe, opened, name, conclusion), names, workers)
    tensors: dict[str, Tensor] = {}
    modules: dict[str, _Module] = {}
    for name, found in zip(names, made, strict=True):
        target = _target(opened, name)
        tensors |= _tensors(target, found.delta)
        modules[name] = _Module(target, found.delta.rank, delta_norm(found.delta), found.energy)
    write_file(out / FILE, tensors, {"format": "pt"})
    write_json(out / "adapter_config.json", _config(plan, list(modules.values())))
    with open_file(out / FILE) as written:
        leaves = leaves_of(written)
    return _report(leaves, modules, sum(tensor.nbytes for tensor in tensors.values()), recipe)


@dataclass(frozen=True)
class _Module:
    """What was written for one parameter: its place, rank, norm, and the share of ‖Δ‖² that is in
    it.
    """

    target: AdapterTarget
    rank: int
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


def _target(opened: Sources, name: str) -> AdapterTarget:
    targets = [opened.sources[i].target(name) for i in opened.touching(name)]
    return next(target for target in targets if target is not None)


def _factors(recipe: Recipe, opened: Sources, name: str, conclusion: Any) -> Compressed:
    delta = merged_part(recipe.part(name), stack_of(recipe, opened, name, conclusion))
    if recipe.rank is not None:
        return compress(delta, recipe.rank)
    if not isinstance(delta, LowRank):
        raise CompatibilityError(
            f"{name} is not low-rank after the merge", help="use --output checkpoint"
        )
    return Compressed(LowRank(delta.B * delta.scale, delta.A), 1.0)


def _tensors(target: AdapterTarget, delta: LowRank) -> dict[str, Tensor]:
    stem = f"{_PREFIX}{target.module}"
    if target.orientation == "linear":
        return {f"{stem}.lora_A.weight": delta.A, f"{stem}.lora_B.weight": delta.B}
    A, B = delta.B.T.contiguous(), delta.A.T.contiguous()
    if target.orientation == "embedding":
        return {f"{stem}.lora_embedding_A": A, f"{stem}.lora_embedding_B": B}
    return {f"{stem}.lora_A.weight": A, f"{stem}.lora_B.weight": B}


def _config(plan: Plan, modules: list[_Module]) -> dict[str, Any]:
    """The commonest rank is `r`, others are in rank_pattern; alpha = rank everywhere: s is 1."""
    common = Counter(module.rank for module in modules).most_common(1)[0][0]
    others = {
        _anchored(module.target.module): module.rank
        for module in sorted(modules, key=lambda module: module.target.module)
        if module.rank != common
    }
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": plan.base_id,
        "r": common,
        "lora_alpha": common,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(module.target.module for module in modules),
        "fan_in_fan_out": any(m.target.orientation == "conv1d" for m in modules),
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
        "init_lora_weights": True,
    }


def _anchored(module: str) -> str:
    # PEFT matches keys as regular expressions at the end of the module's name.
    return "^" + module.replace(".", r"\.")
