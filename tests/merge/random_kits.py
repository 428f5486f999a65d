"""Random mergekit files: any method, models or slices, scalars, gradients, filters, at every level.

What a file says may be more than its method takes; then both programs have to refuse it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from mergekit.merge_methods import registered_methods

DRAWS = ("arcee_fusion", "dare_linear", "dare_ties", "della", "della_linear")
LAYERS = 4
_FILTERS = ("self_attn", "mlp", "q_proj", "embed", "norm", "layers.1.", "*", "lm_head", "bias")
_RANGES = {"density": (0.1, 1.0), "select_topk": (0.1, 1.0), "gamma": (0.0, 0.09), "t": (0.0, 1.0)}
_RANGES |= {"epsilon": (1e-6, 0.01), "eps": (1e-8, 1e-6), "tol": (1e-6, 1e-3)}


def random_kit(seed: int, models: Sequence[str], base: str, sliced: bool = True) -> str:
    """The text of one file over these models, of a method that draws nothing at random."""
    rng = random.Random(seed)
    quiet = {m.spec.name: m.spec for m in registered_methods() if m.spec.name not in DRAWS}
    name = rng.choice(sorted(quiet))
    spec = quiet[name]
    file: dict[str, Any] = {"merge_method": name}
    if spec.contract.base.value == "required" or rng.random() < 0.4:
        file["base_model"] = base
    if sliced and rng.random() < 0.5:
        file["slices"] = [_slice(rng, spec, models) for _ in range(rng.randint(1, 3))]
    else:
        file["models"] = [_model(rng, spec, name) for name in _some(rng, spec, models)]
    file["parameters"] = _parameters(rng, spec, 0.5, all_required=True)
    return yaml.safe_dump(file, sort_keys=False)


def _some(rng: random.Random, spec: Any, models: Sequence[str]) -> list[str]:
    most = spec.contract.max_inputs or len(models)
    return rng.sample(list(models), rng.randint(1, min(most, len(models))))


def _slice(rng: random.Random, spec: Any, models: Sequence[str]) -> dict[str, Any]:
    count = rng.randint(1, LAYERS)
    sources = []
    for name in _some(rng, spec, models):
        first = rng.randint(0, LAYERS - count)
        sources.append({**_model(rng, spec, name), "layer_range": [first, first + count]})
    return {"sources": sources, "parameters": _parameters(rng, spec, 0.2)}


def _model(rng: random.Random, spec: Any, name: str) -> dict[str, Any]:
    return {"model": name, "parameters": _parameters(rng, spec, 0.3) or None}


def _parameters(
    rng: random.Random, spec: Any, share: float, all_required: bool = False
) -> Mapping[str, Any]:
    said = [p for p in spec.parameters if rng.random() < share or (all_required and p.required)]
    return {parameter.name: _setting(rng, parameter) for parameter in said}


def _setting(rng: random.Random, parameter: Any) -> Any:
    kind = rng.random()
    if kind < 0.5:
        return _plain(rng, parameter)
    if kind < 0.75:
        return [_plain(rng, parameter) for _ in range(rng.randint(1, 5))]
    chosen = rng.sample(_FILTERS, rng.randint(1, 3))
    filtered = [{"filter": text, "value": _plain(rng, parameter)} for text in chosen]
    return [*filtered, {"value": [_plain(rng, parameter), _plain(rng, parameter)]}]


def _plain(rng: random.Random, parameter: Any) -> bool | int | float:
    if parameter.value_type is bool:
        return rng.random() < 0.5
    if parameter.value_type is int:
        return rng.choice([1, 3, 10])
    return round(rng.uniform(*_RANGES.get(parameter.name, (-0.5, 1.5))), 7)
