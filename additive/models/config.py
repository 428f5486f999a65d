"""What a model directory may say before anything in it is loaded.

A `config.json` can name Python code (`auto_map`), attention kernels to download
(`_attn_implementation`) or private switches of transformers (`*_internal`); an
`adapter_config.json` can name modules to import (`auto_mapping`, `megatron_core`); a `.bin` file
is a pickle. None of it is needed to use a model, so all of it is refused by name.

Not covered: the numbers in the weights, and bugs in the libraries that read them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from additive.errors import CompatibilityError, IntegrityError, SecurityError
from additive.tensors.json import read_object

ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flex_attention")


BASE_CHANGING_INITS = ("pissa", "olora", "corda", "loftq", "lora_ga")


_CODE_KEYS = re.compile(
    r"auto_map|trust_remote_code|custom_(pipelines|generate)|\w*_internal\w*|use_kernels|kernel_config|megatron_\w+"
)


_CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json")


_AGAIN = "the folder is damaged, or not all of it is there: copy or download it again"


_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".msgpack", ".h5")


def check_model_directory(directory: Path) -> dict[str, Any]:
    """The checked `config.json` of a directory whose weights are safetensors.

    Raises: SecurityError for anything that would run code or leave the directory,
    CompatibilityError for quantized weights, IntegrityError for missing files.
    """
    config = check_config(directory / "config.json")
    generation = directory / "generation_config.json"
    if generation.exists():
        check_config(generation)
    check_weight_files(directory, "model")
    if config.get("quantization_config") is not None:
        raise CompatibilityError(
            "weights are quantized; expected floating-point numbers",
            where=str(directory / "config.json"),
            help="use the unquantized release of the base: deltas add exactly only to numbers",
        )
    return config


def check_templates(directory: Path) -> None:
    """Refuse a tokenizer whose chat templates all have names, none of them `default`.

    Raises: CompatibilityError naming them; IntegrityError for a damaged tokenizer_config.json.
    """
    path = directory / "tokenizer_config.json"
    if not path.is_file() or (directory / "chat_template.jinja").is_file():
        return
    templates = read_object(path).get("chat_template")
    if isinstance(templates, list):
        names = [str(each.get("name")) for each in templates if isinstance(each, Mapping)]
        if names and "default" not in names:
            raise CompatibilityError(
                f"chat templates are named {', '.join(sorted(names))}; expected one named default",
                where=str(path),
                help="give the template that training and suites use the name default",
            )


def check_adapter_directory(directory: Path) -> dict[str, Any]:
    """The checked `adapter_config.json` of an adapter directory, LoRA or IA3.

    Raises: SecurityError, CompatibilityError (another kind of adapter, an init that changed the
    base), IntegrityError.
    """
    path = directory / "adapter_config.json"
    config = read_object(path)
    for key in ("auto_mapping", "megatron_config"):
        if config.get(key) is not None:
            raise SecurityError(
                f"{key} is {config[key]!r}; expected null: it names modules to import",
                where=str(path),
            )
    if config.get("peft_type") not in ("LORA", "IA3"):
        raise CompatibilityError(
            f"peft_type is {config.get('peft_type')!r}; expected 'LORA' or 'IA3'",
            where=str(path),
        )
    init = str(config.get("init_lora_weights", True)).lower()
    if init.startswith(BASE_CHANGING_INITS):
        raise CompatibilityError(
            f"init_lora_weights is {init!r}, which changes the base's own weights",
            where=str(path),
            help="save it again with PEFT's path_initial_model_for_weight_conversion",
        )
    check_weight_files(directory, "adapter_model")
    return config


def check_config(path: Path) -> dict[str, Any]:
    """A checked JSON configuration of a model, a tokenizer or generation.

    Raises: SecurityError for a key that names code, at any depth.
    """
    config = read_object(path)
    try:
        _refuse_code(config, path)
    except RecursionError as error:
        raise IntegrityError("JSON is nested too deeply", where=str(path)) from error
    return config


def check_configs(directory: Path) -> None:
    """Check every configuration that a model directory has, as `check_config`."""
    for name in _CONFIGS:
        if (directory / name).exists():
            check_config(directory / name)


def _refuse_code(config: Mapping[str, Any], path: Path) -> None:
    for key, value in _walk(config):
        name = key.rsplit(".", 1)[-1]
        if value and _CODE_KEYS.fullmatch(name):
            raise SecurityError(
                f"{key} is {_brief(value)}; expected absent: it makes the loader run code",
                where=str(path),
                help="use a model that transformers supports by itself",
            )
        if name in ("_attn_implementation", "attn_implementation", "_experts_implementation"):
            _check_attention(path, key, value)


def check_weight_files(directory: Path, stem: str) -> None:
    """That `stem*.safetensors` is there, and that an index names only files of this directory.

    Raises: SecurityError when only pickles are there or the index leaves the directory;
    IntegrityError without weights.
    """
    if not directory.is_dir():
        raise IntegrityError("model directory is missing", where=str(directory))
    index = directory / f"{stem}.safetensors.index.json"
    if index.exists():
        _check_index(index)
        return
    if (directory / f"{stem}.safetensors").exists():
        return
    pickles = sorted(p.name for p in directory.iterdir() if p.suffix in _PICKLES)
    if pickles:
        raise SecurityError(
            f"weights are {pickles[0]}, a pickle, when they should be safetensors",
            where=str(directory),
            help="load them where you trust them and write them with save_pretrained",
        )
    raise IntegrityError(f"{stem}.safetensors is missing", where=str(directory), help=_AGAIN)


def _check_index(path: Path) -> None:
    shards = read_object(path).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise IntegrityError("weight_map is missing or empty", where=str(path), help=_AGAIN)
    for name in sorted({str(shard) for shard in shards.values()}):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise SecurityError(
                f"shard is {name!r}; expected a safetensors file of the same directory",
                where=str(path),
            )
        if not (path.parent / name).exists():
            raise IntegrityError(f"shard {name} is missing", where=str(path), help=_AGAIN)


def _check_attention(path: Path, key: str, value: Any) -> None:
    values = value.values() if isinstance(value, Mapping) else [value]
    for name in values:
        if name is not None and name not in (*ATTENTIONS, "batched_mm", "grouped_mm"):
            raise SecurityError(
                f"{key} is {name!r}, not one of {', '.join(ATTENTIONS)}: it would be downloaded",
                where=str(path),
            )


def _walk(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{prefix}{key}", inner
            yield from _walk(inner, f"{prefix}{key}.")
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, prefix)


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
