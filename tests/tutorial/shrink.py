"""Make a workspace's budgets so small that every verb can be tried: `python shrink.py DIR`.

A few steps, a few rows, a few items: what is trained is worth nothing, but all of it is run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

STEPS = {"every": 2, "window": 3, "minimum": 3, "max_steps": 6, "tail": 1}
ROWS, ITEMS = 48, 8


def shrink(root: Path) -> None:
    """Rewrite the specs of all domains and suites, and shorten their rows; twice is as once."""
    for path in sorted(root.glob("domains/*/domain.yaml")):
        _edit(path, {"saturation": STEPS, "recall": {"rows": ROWS}})
    for path in sorted(root.glob("evals/*.yaml")):
        _edit(path, {"limit": ITEMS})
    for path in sorted(root.glob("domains/*/*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[:ROWS]), encoding="utf-8")


def _edit(path: Path, changes: dict[str, Any]) -> None:
    yaml = YAML()
    spec = yaml.load(path)
    spec.update(changes)
    yaml.dump(spec, path)


if __name__ == "__main__":
    shrink(Path(sys.argv[1]))
