"""An adapter as PEFT loads it onto the base as it was published: its names, no start of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from additive.deltas.initial import converted
from additive.deltas.keys import plain_name
from additive.deltas.peft_config import initial_file
from additive.tensors.reader import open_file

ADAPTER_WEIGHTS = "adapter_model.safetensors"


def rewritten(
    directory: Path, config: Mapping[str, Any]
) -> tuple[dict[str, Tensor], Mapping[str, Any]] | None:
    """Tensors and configuration that mean the same to PEFT as the folder's own do here; None where
    its file can be loaded as it is.

    Raises: as `converted`.

    Example: `rewritten(Path("saves/math-pissa"), read_object(path))`
    """
    if initial_file(config.get("init_lora_weights"), directory) is not None:
        tensors, config = converted(directory)
        return {plain_name(name): tensor for name, tensor in tensors.items()}, config
    with open_file(directory / ADAPTER_WEIGHTS) as opened:
        if all(plain_name(name) == name for name in opened.names()):
            return None
        return {plain_name(name): opened.tensor(name).clone() for name in opened.names()}, config
