"""Digests: names for bytes that cannot lie.

A digest is 64 lower-case hex digits of sha256. JSON is hashed in one canonical form (sorted keys,
no spaces, UTF-8, no NaN), so that equal values have equal digests in every process.

A weights digest is a Merkle hash over the sorted (name, dtype, shape, sha256 of the bytes) of every
tensor: resharding does not change it, and a merge can reuse the leaves of the tensors that it
copies.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Digest = str


_DIGEST = re.compile(r"[0-9a-f]{64}")


_CHUNK = 1 << 20


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN.

    >>> canonical_json({"b": 1, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest_bytes(data: bytes | memoryview) -> Digest:
    """The sha256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> Digest:
    """The digest of a JSON value, whatever the order of its keys."""
    return digest_bytes(canonical_json(value).encode())


def digest_file(path: Path) -> Digest:
    """The sha256 of a file, read in blocks of 1 MiB.

    Raises: OSError when the file cannot be read.
    """
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            state.update(block)
    return state.hexdigest()


def is_digest(text: str) -> bool:
    """Whether the text is a whole digest."""
    return bool(_DIGEST.fullmatch(text))


def short(digest: Digest, length: int = 8) -> str:
    """The first digits of a digest, as references print it."""
    return digest[:length]


@dataclass(frozen=True, order=True)
class TensorLeaf:
    """One tensor's line in a weights digest; `sha256` is of its bytes in file order."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: Digest


def weights_digest(leaves: Iterable[TensorLeaf]) -> Digest:
    """The Merkle hash of a set of tensors: independent of files, shards and order."""
    lines = [[leaf.name, leaf.dtype, list(leaf.shape), leaf.sha256] for leaf in sorted(leaves)]
    return digest_json(lines)
