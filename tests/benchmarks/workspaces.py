"""The demo's workspace with every domain's spec changed in one way, for the sweeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from additive.verbs.init import DEMO_DOMAINS, make_workspace


def demo_workspace(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Make the demo's workspace at `root` unless it is there, and apply `change` to each spec."""
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        make_workspace(root, "tiny", (), start=root.parent)
    yaml = YAML()
    for name in DEMO_DOMAINS:
        path = root / "domains" / name / "domain.yaml"
        spec = yaml.load(path)
        change(spec)
        yaml.dump(spec, path)
