"""What the environment variables say; nothing else reads them.

What is recorded beside an artifact but is no part of its identity.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from additive import __version__


@dataclass(frozen=True)
class Environment:
    """The variables that change what additive does.

    Example: `Environment.read({"NO_COLOR": "1"}).no_color`
    """

    no_color: bool
    offline: bool

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Environment:
        """NO_COLOR (any value) or TERM=dumb, and HF_HUB_OFFLINE."""
        found = os.environ if variables is None else variables
        return cls(
            no_color=bool(found.get("NO_COLOR")) or found.get("TERM") == "dumb",
            offline=found.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"),
        )


_RECORDED = ("torch", "transformers", "peft", "trl", "safetensors", "lm-eval")


def versions() -> dict[str, str]:
    """Versions of additive, Python and the libraries that touch numbers."""
    found = {"additive": __version__, "python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware(device: str = "cpu") -> dict[str, Any]:
    """The machine in a line, without its name."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "device": device,
    }


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
