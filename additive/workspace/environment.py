"""What the environment variables say; nothing else reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


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
