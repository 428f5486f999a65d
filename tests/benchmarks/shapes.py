"""The random models that merges are measured on, and rows that outlive an interrupt."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.merge.measuring import layout, write_random_lora, write_random_model

RANK = 16


@dataclass(frozen=True)
class Inputs:
    """The models of one shape below `root`; each is written when it is first asked for."""

    shape: str
    root: Path

    @property
    def base(self) -> Path:
        """The base."""
        return self._model("base", 0)

    @property
    def parameters(self) -> int:
        """How many numbers the base has."""
        return sum(d[0] * (d[1] if len(d) > 1 else 1) for _, d in layout(self.shape))

    @property
    def adapted(self) -> int:
        """How many numbers its linear projections have, which every adapter changes."""
        return sum(d[0] * d[1] for name, d in layout(self.shape) if "_proj" in name)

    def sources(self, kind: str, count: int) -> list[Path]:
        """So many LoRAs (`lora`) or fine-tunes (`full`)."""
        if kind == "lora":
            return [self._lora(number) for number in range(count)]
        return [self._model(f"full{number}", 200 + number) for number in range(count)]

    def _model(self, name: str, seed: int) -> Path:
        path = self.root / name
        if not (path / "model.safetensors").exists():
            shutil.rmtree(path, ignore_errors=True)
            write_random_model(path, self.shape, seed)
        return path

    def _lora(self, number: int) -> Path:
        path = self.root / f"lora{number}"
        if not (path / "adapter_config.json").exists():
            shutil.rmtree(path, ignore_errors=True)
            write_random_lora(path, self.shape, 100 + number, RANK)
        return path


def kept(folder: Path, title: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured under this title before, else what `measure` finds now, kept as a file."""
    path = _file(folder, title)
    if path.exists():
        return json.loads(path.read_text())
    found = measure()
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1))
    part.replace(path)
    return found


def known(folder: Path, title: str) -> dict[str, Any] | None:
    """What was measured under this title, if it was."""
    path = _file(folder, title)
    return json.loads(path.read_text()) if path.exists() else None


def _file(folder: Path, title: str) -> Path:
    return folder / f"{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.json"
