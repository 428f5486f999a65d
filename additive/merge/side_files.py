"""Everything of an output checkpoint but its weights: the base's, never a source's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from additive.merge.planned import Plan, PlannedTensor
from additive.tensors.disk import disk_errors
from additive.tensors.json import read_object

_DTYPE_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


_COPIED = (
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    "LICENSE*",
    "NOTICE*",
)


def write_side_files(plan: Plan, out: Path) -> None:
    """Copy tokenizer, template, generation settings and license; write the config.

    The config is the base's but for the dtype, where the recipe changes it, and the tie of a pair
    that had to be split.
    """
    config = read_object(plan.base_directory / "config.json")
    dtype = plan.recipe.settings.dtype if plan.recipe.settings.dtype != "auto" else None
    changed = output_config(config, plan.tensors, dtype, bool(plan.untied_heads))
    write_json(out / "config.json", _resized(changed, plan.tensors))
    copy_side_files(plan.base_directory, out)


def copy_side_files(base_directory: Path, out: Path) -> None:
    """Copy everything of the base that is neither weights nor config.json."""
    for path in _files(base_directory):
        target = out / path.relative_to(base_directory)
        with disk_errors(target):
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)


def write_index(tensors: Sequence[PlannedTensor], out: Path) -> None:
    """Write the index of a sharded output; a single file needs none."""
    shards = {tensor.shard for tensor in tensors}
    if shards == {"model.safetensors"}:
        return
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors)},
        "weight_map": {t.name: t.shard for t in sorted(tensors, key=lambda t: t.name)},
    }
    write_json(out / "model.safetensors.index.json", index)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write JSON as transformers and PEFT do: indented, keys in order, a final newline."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file. Raises: ResourceError when the disk is full or fails."""
    with disk_errors(path):
        path.write_text(text, encoding="utf-8")


def output_config(
    config: Mapping[str, Any], tensors: Sequence[PlannedTensor], dtype: str | None, split: bool
) -> dict[str, Any]:
    """The base's config with the output's dtype, where one is asked for, and without the tie of a
    split pair.
    """
    changed = dict(config)
    dtypes = {tensor.dtype for tensor in tensors if tensor.dtype in _DTYPE_NAMES}
    if dtype is not None and len(dtypes) == 1:
        key = "torch_dtype" if "torch_dtype" in config and "dtype" not in config else "dtype"
        changed[key] = _DTYPE_NAMES[dtypes.pop()]
    if split:
        changed["tie_word_embeddings"] = False
        if isinstance(config.get("text_config"), dict):
            changed["text_config"] = {**config["text_config"], "tie_word_embeddings": False}
    return changed


def _resized(config: dict[str, Any], tensors: Sequence[PlannedTensor]) -> dict[str, Any]:
    """The config with the number of rows that the embedding got, where that is another one."""
    rows = next((tensor.shape[0] for tensor in tensors if tensor.resized), None)
    if rows is None:
        return config
    if isinstance(config.get("text_config"), dict):
        config = {**config, "text_config": {**config["text_config"], "vocab_size": rows}}
    return {**config, "vocab_size": rows} if "vocab_size" in config else config


def _files(directory: Path) -> list[Path]:
    found = {path for pattern in _COPIED for path in directory.glob(pattern) if path.is_file()}
    return sorted(found)
