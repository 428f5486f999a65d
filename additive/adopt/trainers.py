"""Who trained it, by what each trainer leaves in its folder; a guess that nothing rests on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_README_BYTES = 1 << 16
# The order matters: what builds on TRL leaves TRL's marks too.
_IN_README = (
    ("Unsloth", re.compile(r"^\s*- unsloth\b|made with unsloth", re.M | re.I)),
    ("axolotl", re.compile(r"^\s*- axolotl\b|axolotl version", re.M | re.I)),
    ("LLaMA-Factory", re.compile(r"^\s*- llama-?_?factory\b", re.M | re.I)),
    ("TRL", re.compile(r"^\s*- trl\b|\bTRL\b", re.M)),
)
_FILES = (
    ("additive", ("manifest.json",)),
    ("axolotl", ("axolotl_config.yml", "axolotl_config.yaml")),
    ("LLaMA-Factory", ("llamaboard_config.yaml", "trainer_log.jsonl", "training_loss.png")),
)


def trainer_of(directory: Path, kind: str, config: Mapping[str, Any]) -> str:
    """The trainer's name; PEFT or transformers when nothing says more.

    >>> trainer_of(Path("/nowhere"), "adapter", {})
    'PEFT'
    """
    mapping = config.get("auto_mapping")
    if isinstance(mapping, Mapping) and mapping.get("unsloth_fixed"):
        return "Unsloth"
    for name, files in _FILES:
        if any((directory / file).is_file() for file in files):
            return name
    readme = _readme(directory / "README.md")
    for name, mark in _IN_README:
        if mark.search(readme):
            return name
    if str(config.get("base_model_name_or_path") or "").startswith("unsloth/"):
        return "Unsloth"
    return "PEFT" if kind == "adapter" else "transformers"


def _readme(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_README_BYTES).decode("utf-8", "replace")
