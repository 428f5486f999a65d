"""Environment variables, and the record of versions and hardware.

No other module reads or sets environment variables. Versions and hardware are recorded beside an
artifact and are not part of its identity.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, MutableMapping
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


def set_thread_policy(variables: MutableMapping[str, str] | None = None) -> None:
    """Let idle OpenMP threads sleep instead of spin, unless OMP_WAIT_POLICY is set.

    libgomp's threads spin between two parallel regions. Beside other work that burns the core
    which the other process needs, and each waits for the other (docs/performance.md, "Idle
    threads"). libgomp reads the variable once, when torch loads it, so this runs before torch is
    imported. Child processes inherit it.
    """
    environment = os.environ if variables is None else variables
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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
