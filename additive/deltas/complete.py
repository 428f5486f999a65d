"""Whether an adapter's file holds all that its configuration says was trained.

PEFT leaves at its base's values what is not in the file, with a warning. Nothing warns in a merge,
so what is missing is refused by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from additive.deltas.base import FLOATS, Base
from additive.deltas.peft_config import AdapterConfig
from additive.errors import CompatibilityError

Parts = Mapping[str, Mapping[str, str]]


def check_complete(
    config: AdapterConfig, modules: Parts, changed: Collection[str], base: Base, where: str
) -> None:
    """Refuse an adapter that lacks modules_to_save, trained tokens or biases of its configuration.

    modules  its tensors by module and part; `changed` the base's names of all that it changes

    Raises: CompatibilityError naming the first parameter that is missing.
    """
    for key, missing in _missing(config, modules, changed, base):
        raise CompatibilityError(
            f"{missing} is not in the file when {key} says that it was trained",
            where=where,
            help="the file is incomplete: save the adapter again from one gathered model",
        )


def _missing(
    config: AdapterConfig, modules: Parts, changed: Collection[str], base: Base
) -> Iterator[tuple[str, str]]:
    floats = [name for name in base.names() if base.dtype(name) in FLOATS]
    for name in floats:
        if name not in changed and _is_saved(name, config.saved):
            yield "modules_to_save", name
    for name in floats:
        if name not in changed and _is_trained_bias(name, config, changed, base):
            yield f"bias: {config.bias}", name
    indices = config.token_indices
    wanted = tuple(indices) if isinstance(indices, Mapping) else ("",) * bool(indices)
    for name in wanted:
        if not any(
            "tokens" in parts and module.endswith(name) for module, parts in modules.items()
        ):
            yield "trainable_token_indices", f"a row of {name or 'the embedding'}"
    for module, parts in modules.items():
        if config.lora_bias and "A" in parts and "B_bias" not in parts:
            yield "lora_bias", f"{module}.lora_B.bias"


def _is_saved(parameter: str, saved: Collection[str]) -> bool:
    """PEFT's rule: a module of this ending, or anything below such a one."""
    module = parameter
    while "." in module:
        module = module.rpartition(".")[0]
        if any(module.endswith(name) for name in saved):
            return True
    return False


def _is_trained_bias(
    name: str, config: AdapterConfig, changed: Collection[str], base: Base
) -> bool:
    # Beside a weight: GPT-2's files call a causal mask `attn.bias`.
    weight = f"{name.removesuffix('.bias')}.weight"
    if not name.endswith(".bias") or not base.has(weight):
        return False
    return config.bias == "all" or (config.bias == "lora_only" and weight in changed)
