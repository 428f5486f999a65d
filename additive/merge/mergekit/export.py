"""A recipe as a mergekit file that gives the same weights, where mergekit can.

    task_arithmetic  W + λ Σ wᵢτᵢ            task_arithmetic, lambda λ
    linear           W + λ Σ wᵢτᵢ / Σ wᵢ     task_arithmetic, lambda λ, normalize
    mergekit/NAME    its own                 NAME

Everything else has another threshold, rescaling or basis there, and is refused. Sums are float32
and rounded once (`dtype`, `out_dtype`); adapters need mergekit's --lora-merge-dtype float32 for
that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.deltas.base import FLOATS, Base, open_base
from additive.errors import UsageError
from additive.merge.methods import MERGEKIT
from additive.merge.recipe import BuiltRecipe, SourceSpec, method_name, method_parameters

_SUMS = {"task_arithmetic": False, "linear": True}


_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True)
class _Kit:
    """mergekit's method, its parameters, and whether the base is an input."""

    method: str
    parameters: Mapping[str, Any]
    with_base: bool
    weighted: bool


def to_mergekit(recipe: BuiltRecipe, base_directory: Path) -> str:
    """The YAML text.

    Raises: UsageError for a method, output or rule that mergekit does not have.
    """
    check_exportable(recipe)
    base = open_base(base_directory)
    try:
        return "\n".join(_lines(recipe, base, _kit(recipe))) + "\n"
    finally:
        base.close()


def check_exportable(recipe: BuiltRecipe) -> None:
    """Refuse what mergekit cannot say. Raises: UsageError."""
    if recipe.settings.output != "checkpoint":
        raise UsageError(
            "output is adapter when mergekit writes whole models only",
            help="set output: checkpoint, or keep the adapter: every PEFT tool reads it",
        )
    _kit(recipe)
    if recipe.rules:
        raise UsageError("rules are given when mergekit has one method per file")
    if recipe.before or recipe.after:
        raise UsageError("steps are given when mergekit has a method and nothing around it")
    if recipe.settings.vocabulary != "same":
        raise UsageError(
            f"vocabulary is {recipe.settings.vocabulary}; mergekit has its own way with other rows",
            help="set vocabulary: same; mergekit's tokenizer_source permutes and cuts rows",
        )
    recipe.method.check_weights(tuple(source.weight for source in recipe.ordered()))


def _kit(recipe: BuiltRecipe) -> _Kit:
    name = method_name(recipe.method)
    if name in _SUMS:
        parameters = {"lambda": recipe.scale, "normalize": _SUMS[name]}
        return _Kit("task_arithmetic", parameters, with_base=True, weighted=True)
    prefix, _, own = name.partition("/")
    if prefix != "mergekit":
        raise UsageError(f"{name} is computed otherwise by mergekit", help=_alike(name, MERGEKIT))
    return _bridged(recipe, own)


def _alike(name: str, known: tuple[str, ...]) -> str:
    if name in known:
        return (
            f"use mergekit/{name}, which is the same in both; docs/mergekit.md has the difference"
        )
    return (
        f"mergekit has no {name}; the recipe's `method: task_arithmetic`, a plain sum, is in both"
    )


def _bridged(recipe: BuiltRecipe, name: str) -> _Kit:
    from mergekit.merge_methods import get

    spec = get(name).spec
    known = {parameter.name for parameter in spec.parameters}
    parameters = {k: v for k, v in method_parameters(recipe.method).items() if k in known}
    if "lambda" in known:
        parameters["lambda"] = recipe.scale
    elif recipe.scale != 1.0:
        raise UsageError(
            f"scale is {recipe.scale:g} when mergekit's {name} has none", help="set scale: 1"
        )
    with_base = spec.contract.base.value in ("required", "optional")
    return _Kit(name, parameters, with_base, "weight" in known)


def _lines(recipe: BuiltRecipe, base: Base, kit: _Kit) -> Iterator[str]:
    yield "# mergekit-yaml FILE OUT --lora-merge-cache CACHE --lora-merge-dtype float32"
    if recipe.settings.seed:
        yield f"# --random-seed {recipe.settings.seed}"
    yield f"merge_method: {kit.method}"
    if kit.with_base:
        yield f"base_model: {json.dumps(str(base.directory))}"
    yield "models:"
    for source in recipe.ordered():
        yield f"  - model: {json.dumps(_model(source, base))}"
        if kit.weighted:
            yield f"    parameters: {{weight: {json.dumps(source.weight)}}}"
    if kit.parameters:
        said = ", ".join(f"{key}: {json.dumps(value)}" for key, value in kit.parameters.items())
        yield f"parameters: {{{said}}}"
    yield "dtype: float32"
    yield f"out_dtype: {_dtype(recipe, base)}"


def _model(source: SourceSpec, base: Base) -> str:
    is_adapter = (source.directory / "adapter_config.json").is_file()
    text = str(source.directory)
    if "+" in text or (is_adapter and "+" in str(base.directory)):
        raise UsageError(
            f"path of {source.name} has a + when mergekit splits paths there", where=text
        )
    return f"{base.directory}+{text}" if is_adapter else text


def _dtype(recipe: BuiltRecipe, base: Base) -> str:
    """The recipe's dtype, or what most of the base's parameters have."""
    if recipe.settings.dtype != "auto":
        return recipe.settings.dtype
    found = [base.dtype(name) for name in base.names() if base.dtype(name) in FLOATS]
    return _DTYPES[max(sorted(set(found)), key=found.count)]
