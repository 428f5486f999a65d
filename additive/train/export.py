"""What training hands over: directories that peft or transformers load as they are.

LoRA: `adapter_model.safetensors` and `adapter_config.json`. Full: `model*.safetensors`,
`config.json`, the base's tokenizer files and a chat template. No pickles, no local paths, the same
bytes for the same weights.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BASE_FILES = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


def write_adapter(
    directory: Path, model: PeftModel, weights: Mapping[str, torch.Tensor], base_id: str
) -> None:
    """A PEFT adapter directory; its configuration names the base by `base_id`."""
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name.replace(".default.", "."): t.contiguous() for name, t in weights.items()}
    save_file(
        {name: tensors[name] for name in sorted(tensors)},
        directory / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
    config = {key: _plain(value) for key, value in model.peft_config["default"].to_dict().items()}
    config |= {"base_model_name_or_path": base_id, "inference_mode": True, "revision": None}
    _write_json(directory / "adapter_config.json", config)


def write_model(
    directory: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    base_directory: Path,
) -> None:
    """A whole model directory in the numbers that it was trained in, beside the base's
    tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(directory, max_shard_size="5GB")
    config = json.loads((base_directory / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    _write_json(directory / "config.json", {**config, "dtype": str(model.dtype).split(".")[-1]})
    (directory / "generation_config.json").unlink(missing_ok=True)
    for name in _BASE_FILES:
        if (base_directory / name).exists():
            shutil.copyfile(base_directory / name, directory / name)
    if not (directory / "chat_template.jinja").exists():
        (directory / "chat_template.jinja").write_text(str(tokenizer.chat_template), "utf-8")


def _plain(value: Any) -> Any:
    """A configuration value as JSON, sets in sorted order."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return getattr(value, "value", value)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
