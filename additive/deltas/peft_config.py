"""adapter_config.json: what of it changes the delta, and what is refused by name.

PEFT grows a variant a month, and a variant that is not understood would be merged wrongly in
silence. So every field is either known to leave the delta s·B·A alone, or handled, or refused as
soon as it is switched on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.deltas.config_fields import Fields
from additive.errors import CompatibilityError
from additive.tensors.json import read_object


def _selects(wanted: str | tuple[str, ...], module: str) -> bool:
    if isinstance(wanted, str):
        return re.fullmatch(wanted, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in wanted)


_HARMLESS = frozenset(
    {
        "alpha_pattern",
        "auto_mapping",
        "base_model_name_or_path",
        "bias",
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "fan_in_fan_out",
        "inference_mode",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "lora_alpha",
        "lora_bias",
        "lora_dropout",
        "lora_ga_config",
        "megatron_core",
        "modules_to_save",
        "peft_type",
        "peft_version",
        "qalora_group_size",
        "r",
        "rank_pattern",
        "revision",
        "runtime_config",
        "target_modules",
        "target_parameters",
        "task_type",
        "trainable_token_indices",
        "use_dora",
        "use_rslora",
        "velora_config",
    }
)


_HARMLESS_IN_IA3 = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "exclude_modules",
        "fan_in_fan_out",
        "feedforward_modules",
        "inference_mode",
        "init_ia3_weights",
        "modules_to_save",
        "peft_type",
        "peft_version",
        "revision",
        "target_modules",
        "task_type",
    }
)


_WHY = {
    "layer_replication": "the adapted model has other layers than the base",
    "megatron_config": "tensor-parallel adapters have to be gathered first",
    "use_qalora": "its A sees pooled inputs",
    "use_bdlora": "its factors are block-diagonal",
    "alora_invocation_tokens": "it acts on some positions only, and no weight can do that",
    "arrow_config": "it routes between adapters at run time",
    "kasa_config": "it changes the base",
    "monteclora_config": "its weights are random variables",
    "loftq_config": "it changes the base",
}


_BASE_CHANGING = ("pissa", "olora", "corda", "loftq", "lora_ga")


# Of these the base lost s·B₀·A₀ and nothing else, so that the initial factors give the delta back.
_CONVERTIBLE = ("pissa", "olora", "corda", "lora_ga")


_SAFE_INITS = (True, False, None, "gaussian", "eva", "orthogonal", "mica", "default")


@dataclass(frozen=True)
class AdapterConfig:
    """The part of an adapter's configuration that its delta depends on.

    kind     `lora` or `ia3`; of IA3 only the orientation and the name of the base mean anything
    parameters  `target_parameters`: ends of names of parameters that are adapted without a module
    initial  where the factors lie that training started from, of an initialisation that took them
             out of the base (PiSSA, OLoRA, CorDA, LoRA-GA); None for all others
    saved    `modules_to_save`: ends of names of modules that were trained and saved whole
    targets, excluded  modules that PEFT would adapt: a regular expression, or ends of names; None
             where the configuration does not say
    layers   `layers_to_transform`: numbers of layers; None for all of them
    layer_names  `layers_pattern`: what comes before the number in a module's name
    """

    path: Path
    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    rslora: bool
    dora: bool
    fan_in_fan_out: bool
    bias: str
    token_indices: tuple[int, ...] | Mapping[str, tuple[int, ...]]
    base_id: str | None
    initial: Path | None = None
    kind: str = "lora"
    parameters: tuple[str, ...] = ()
    lora_bias: bool = False
    saved: tuple[str, ...] = ()
    targets: str | tuple[str, ...] | None = None
    excluded: str | tuple[str, ...] | None = None
    layers: tuple[int, ...] | None = None
    layer_names: tuple[str, ...] = ()

    def unselected(self, module: str) -> str | None:
        """The field by which PEFT would not adapt a module that the file has; None where it would.

        Follows `check_target_module_exists` of PEFT.
        """
        if self.excluded and _selects(self.excluded, module):
            return "exclude_modules"
        if self.targets is None or self.targets == "all-linear":
            return None
        if not _selects(self.targets, module):
            return "target_modules"
        if self.layers is None or isinstance(self.targets, str) or module in self.targets:
            return None
        patterns = self.layer_names or (r"[^.]*",)
        numbers = [re.match(rf".*\.{pattern}\.(\d+)\.", module) for pattern in patterns]
        number = next((int(match[1]) for match in numbers if match), None)
        return None if number in self.layers else "layers_to_transform"

    def rank_of(self, module: str) -> int:
        """The rank that the configuration gives a module."""
        return _lookup(self.rank_pattern, module, self.rank)

    def scale_of(self, module: str) -> float:
        """s of a module: α/r, or α/√r with rank stabilisation (Kalajdzievski, 2023,
        arXiv:2312.03732).
        """
        rank = self.rank_of(module)
        return _lookup(self.alpha_pattern, module, self.alpha) / (
            math.sqrt(rank) if self.rslora else rank
        )

    def tokens_of(self, module: str) -> tuple[int, ...]:
        """The trained token rows of an embedding module."""
        if not isinstance(self.token_indices, Mapping):
            return self.token_indices
        for name, indices in self.token_indices.items():
            if module == name or module.endswith(f".{name}"):
                return indices
        return ()


def read_adapter_config(directory: Path) -> AdapterConfig:
    """Read and judge adapter_config.json.

    Raises: CompatibilityError for every kind of adapter whose delta is not s·B·A on the base as it
    is, IntegrityError when the file is missing or broken, or a field is of another type.
    """
    path = directory / "adapter_config.json"
    raw = read_object(path)
    _refuse_kinds(raw, path)
    fields = Fields(raw, path)
    fields.check_targets("target_modules", "exclude_modules", "layers_pattern")
    if raw["peft_type"] == "IA3":
        return _ia3(fields)
    return AdapterConfig(
        path=path,
        rank=fields.whole("r"),
        alpha=fields.number("lora_alpha"),
        rank_pattern=fields.ranks("rank_pattern"),
        alpha_pattern=fields.numbers("alpha_pattern"),
        rslora=fields.switch("use_rslora"),
        dora=fields.switch("use_dora"),
        lora_bias=fields.switch("lora_bias"),
        fan_in_fan_out=fields.switch("fan_in_fan_out"),
        bias=fields.one_of("bias", ("none", "all", "lora_only")),
        token_indices=fields.tokens("trainable_token_indices"),
        base_id=fields.text("base_model_name_or_path"),
        initial=initial_file(raw.get("init_lora_weights"), directory),
        parameters=fields.names("target_parameters"),
        saved=fields.names("modules_to_save"),
        **fields.selection(),
    )


def _ia3(fields: Fields) -> AdapterConfig:
    return AdapterConfig(
        path=fields.path,
        rank=0,
        alpha=0.0,
        rank_pattern={},
        alpha_pattern={},
        rslora=False,
        dora=False,
        fan_in_fan_out=fields.switch("fan_in_fan_out"),
        bias="none",
        token_indices=(),
        base_id=fields.text("base_model_name_or_path"),
        kind="ia3",
        saved=fields.names("modules_to_save"),
        **fields.selection(),
    )


def _refuse_kinds(raw: Mapping[str, Any], path: Path) -> None:
    kind = raw.get("peft_type")
    if kind not in ("LORA", "IA3"):
        raise CompatibilityError(
            f"adapter is {kind}; expected LORA or IA3: what it adds to a weight is not known here",
            where=str(path),
            help="train with LoRA or DoRA, or merge it into its base and take the full checkpoint",
        )
    harmless = _HARMLESS if kind == "LORA" else _HARMLESS_IN_IA3
    for field in sorted(raw):
        if field not in harmless and raw[field]:
            why = _WHY.get(field, "what it does to the weights is not known here")
            raise CompatibilityError(
                f"{field} is set: {why}",
                where=str(path),
                help="merge it into its base with PEFT in float32 and take the full checkpoint",
            )
    _refuse_initialisation(raw.get("init_lora_weights"), path)


def _refuse_initialisation(init: Any, path: Path) -> None:
    if isinstance(init, str) and init.startswith(_BASE_CHANGING):
        if initial_file(init, path.parent) is not None:
            return
        raise CompatibilityError(
            f"init_lora_weights is {init!r}: the adapter belongs to a base that this initialisation"
            " changed, not to the base as it was published",
            where=str(path),
            help=_mend(init),
        )
    if not any(init is known or init == known for known in _SAFE_INITS):
        raise CompatibilityError(
            f"init_lora_weights is {init!r}, which is not known",
            where=str(path),
            help="merge it into its base with PEFT in float32 and take the full checkpoint",
        )


def _mend(init: str) -> str:
    if not init.startswith(_CONVERTIBLE):
        return "merge it into the base that it was trained on and take the full checkpoint"
    return (
        f"put the adapter that training started from into its folder {_folder(init)}/, or save it"
        " as a plain LoRA with PEFT's path_initial_model_for_weight_conversion"
    )


def _folder(init: str) -> str:
    """`pissa_init` for `pissa` and `pissa_niter_16`: what the training scripts call it."""
    return next(kind for kind in _BASE_CHANGING if init.startswith(kind)) + "_init"


def initial_file(init: Any, directory: Path) -> Path | None:
    """The factors that training started from, of an initialisation that took them out of the base;
    None where there was no such, or where they are not there.
    """
    if not isinstance(init, str) or not init.startswith(_CONVERTIBLE):
        return None
    file = directory / _folder(init) / "adapter_model.safetensors"
    return file if file.exists() else None


def _lookup(pattern: Mapping[str, Any], module: str, default: Any) -> Any:
    # PEFT's rule: the first key that, as a regular expression, matches the end of the module's
    # name.
    for key, value in pattern.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default
