"""A merge as a PEFT adapter: [w₁s₁B₁ … wₙsₙBₙ]·[A₁; …; Aₙ], exact, of rank Σr; the base is not
read.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from torch import Tensor

from additive.deltas.model import Delta, LowRank
from additive.deltas.source import AdapterTarget
from additive.errors import CompatibilityError, UsageError
from additive.merge.building import method_name
from additive.merge.parameter import merged_delta
from additive.merge.plan import Plan
from additive.merge.recipe import Recipe
from additive.merge.report import MergeReport
from additive.merge.sidefiles import write_json
from additive.merge.stacks import Sources
from additive.tensors.leaves import leaves_of
from additive.tensors.reader import open_file
from additive.tensors.writer import write_file
from additive.types.digests import weights_digest

FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."


def check_adapter_output(recipe: Recipe, opened: Sources) -> None:
    """Refuse a merge that no adapter can hold exactly.

    Raises: UsageError for a method that leaves factor space, CompatibilityError for a source or
    parameter without factors.
    """
    if not getattr(recipe.method, "keeps_factors", False):
        raise UsageError(
            f"output is adapter when {method_name(recipe.method)} leaves the adapters' factors",
            help="use --output checkpoint, or task_arithmetic, linear, tsv_m, svc, pico, iso_c",
        )
    for name in opened.parameters():
        for position in opened.touching(name):
            source = opened.sources[position]
            if source.target(name) is None or source.kind != "lora":
                raise CompatibilityError(
                    f"{name} was trained as {source.kind} without factors of its own, which no LoRA"
                    " adapter can hold exactly",
                    where=source.name,
                    help="use --output checkpoint",
                )


def write_adapter(plan: Plan, opened: Sources, out: Path) -> MergeReport:
    """Write adapter_model.safetensors (float32) and adapter_config.json into `out`."""
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    norms: dict[str, float] = {}
    conv1d = False
    for name in opened.parameters():
        target = _target(opened, name)
        delta = _factors(plan, opened, name)
        tensors |= _tensors(target, delta)
        ranks[target.module] = delta.rank
        conv1d |= target.orientation == "conv1d"
        norms[name] = _norm(delta)
    write_file(out / FILE, tensors, {"format": "pt"})
    write_json(out / "adapter_config.json", _config(plan, ranks, conv1d))
    with open_file(out / FILE) as written:
        leaves = leaves_of(written)
    size = sum(tensor.nbytes for tensor in tensors.values())
    return MergeReport(leaves, weights_digest(leaves), 0.0, {}, norms, size)


def _target(opened: Sources, name: str) -> AdapterTarget:
    targets = [opened.sources[i].target(name) for i in opened.touching(name)]
    return next(target for target in targets if target is not None)


def _factors(plan: Plan, opened: Sources, name: str) -> LowRank:
    recipe = plan.recipe
    delta: Delta = merged_delta(recipe.method, opened.stack(name, recipe.seed), recipe.scale)
    if not isinstance(delta, LowRank):
        raise CompatibilityError(
            f"{name} is not low-rank after the merge", help="use --output checkpoint"
        )
    return LowRank(delta.B * delta.scale, delta.A)


def _tensors(target: AdapterTarget, delta: LowRank) -> dict[str, Tensor]:
    stem = f"{_PREFIX}{target.module}"
    if target.orientation == "linear":
        return {f"{stem}.lora_A.weight": delta.A, f"{stem}.lora_B.weight": delta.B}
    A, B = delta.B.T.contiguous(), delta.A.T.contiguous()
    if target.orientation == "embedding":
        return {f"{stem}.lora_embedding_A": A, f"{stem}.lora_embedding_B": B}
    return {f"{stem}.lora_A.weight": A, f"{stem}.lora_B.weight": B}


def _norm(delta: LowRank) -> float:
    from additive.deltas.norms import delta_norm

    return delta_norm(delta)


def _config(plan: Plan, ranks: dict[str, int], conv1d: bool) -> dict[str, Any]:
    """The most common rank is `r`, others are in rank_pattern; alpha = rank everywhere, so that s
    is 1.
    """
    common = Counter(ranks.values()).most_common(1)[0][0]
    others = {module: rank for module, rank in sorted(ranks.items()) if rank != common}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": plan.base_id,
        "r": common,
        "lora_alpha": common,
        "rank_pattern": {_anchored(module): rank for module, rank in others.items()},
        "alpha_pattern": {_anchored(module): rank for module, rank in others.items()},
        "target_modules": sorted(ranks),
        "fan_in_fan_out": conv1d,
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
