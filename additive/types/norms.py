"""The norm of a whole delta from the norms of its parameters, which manifests record."""

from __future__ import annotations

import math
from collections.abc import Mapping


def total_norm(norms: Mapping[str, float]) -> float:
    """The Frobenius norm of all parameters together: √Σ ‖Δₚ‖².

    >>> total_norm({"a": 3.0, "b": 4.0})
    5.0
    """
    return math.sqrt(sum(norm * norm for norm in norms.values()))
