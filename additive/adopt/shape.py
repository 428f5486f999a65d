"""The configuration of a full checkpoint: a specialist is loaded by it, so it has to describe the
base's model.

Its weights have the base's names and shapes already; a config.json that says other counts or widths
would have a loader build something else, or far too much.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from additive.errors import CompatibilityError
from additive.tensors.strict_json import read_object

_COUNTED = re.compile(
    r"model_type|n_layers?|n_heads?|n_embd|d_model|num_\w*(layers|heads|experts)"
    r"|(\w+_)?(hidden_size|intermediate_size|state_size|head_dim)"
)
_DTYPES = {None, "auto", "float32", "bfloat16", "float16"}
_DTYPES |= {f"torch.{name}" for name in ("float32", "bfloat16", "float16")}


def refuse_other_shape(directory: Path, base_directory: Path) -> None:
    """Compare model type, counts and widths with the base's where both say them.

    Raises: CompatibilityError for a difference, or a dtype that no checkpoint of ours has.
    """
    path = directory / "config.json"
    own, base = read_object(path), read_object(base_directory / "config.json")
    for key, mine, theirs in _both(own, base, ""):
        if mine != theirs:
            raise CompatibilityError(
                f"{key} is {_shown(mine)} when the base has {_shown(theirs)}",
                where=str(path),
                help="put the config.json that these weights were saved with beside them",
            )
    for key in ("dtype", "torch_dtype"):
        if isinstance(own.get(key), Mapping | list) or own.get(key) not in _DTYPES:
            raise CompatibilityError(
                f"{key} is {_shown(own[key])} when it should be float32, bfloat16 or float16",
                where=str(path),
                help="write the dtype of the weights into it",
            )


def _both(
    own: Mapping[str, Any], base: Mapping[str, Any], above: str
) -> Iterator[tuple[str, Any, Any]]:
    """What both configurations say of the model's shape, nested ones included."""
    for key in sorted(own.keys() & base.keys()):
        mine, theirs = own[key], base[key]
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from _both(mine, theirs, f"{above}{key}.")
        elif _COUNTED.fullmatch(key) and None not in (mine, theirs):  # null leaves it to others
            yield f"{above}{key}", mine, theirs


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
