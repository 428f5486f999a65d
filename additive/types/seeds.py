"""Seeds derived from names, never from the order in which things run."""

from __future__ import annotations

import hashlib

from additive.types.digests import canonical_json


def derive_seed(*parts: str | int | float) -> int:
    """A seed in [0, 2**63) that is a function of its parts alone.

    >>> derive_seed("lora_a", "math", 0) == derive_seed("lora_a", "math", 0)
    True
    """
    data = canonical_json(list(parts)).encode()
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> 1
