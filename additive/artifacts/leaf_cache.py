"""Hashing a base once: leaves kept under the identity of the files that they were read from.

The key is (device, inode, size, mtime, ctime) of every shard. As in git's index, files that changed
within the last two seconds are not cached, because a second change in the same clock tick would not
show. A cache file seals itself and a damaged one is made again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from additive.artifacts.atomic import write_json
from additive.errors import IntegrityError
from additive.tensors.leaves import leaves_of
from additive.tensors.reader import Checkpoint, open_checkpoint
from additive.tensors.strict_json import read_object
from additive.types.digests import TensorLeaf, digest_json

_RACY_NS = 2_000_000_000


def cached_leaves(
    directory: Path, stem: str = "model", cache: Path | None = None
) -> tuple[TensorLeaf, ...]:
    """The leaves of a checkpoint, from the cache where its files are the ones that were hashed.

    Raises: IntegrityError, SecurityError for a checkpoint that cannot be read, or that changes
    while it is hashed.
    """
    with open_checkpoint(directory, stem) as checkpoint:
        before = _stamps(checkpoint)
        entry = cache / "leaves" / f"{digest_json(before)}.json" if cache else None
        known = _read(entry) if entry else None
        if known is not None:
            return known
        leaves = leaves_of(checkpoint)
        if _stamps(checkpoint) != before:
            raise IntegrityError("weights changed while they were read", where=str(directory))
    if entry and not _is_racy(before):
        _write(entry, leaves)
    return leaves


def _stamps(checkpoint: Checkpoint) -> list[list[Any]]:
    stamps = []
    for shard in checkpoint.shards:
        status = os.stat(checkpoint.directory / shard)
        stamps.append(
            [
                shard,
                status.st_dev,
                status.st_ino,
                status.st_size,
                status.st_mtime_ns,
                status.st_ctime_ns,
            ]
        )
    return stamps


def _is_racy(stamps: list[list[Any]]) -> bool:
    newest = max(max(stamp[-2:]) for stamp in stamps)
    return time.time_ns() - newest < _RACY_NS


def _write(entry: Path, leaves: Iterable[TensorLeaf]) -> None:
    rows = [[leaf.name, leaf.dtype, list(leaf.shape), leaf.sha256] for leaf in leaves]
    write_json(entry, {"leaves": rows, "seal": digest_json(rows)})


def _read(entry: Path) -> tuple[TensorLeaf, ...] | None:
    if not entry.exists():
        return None
    try:
        fields = read_object(entry)
    except IntegrityError:
        return None
    rows = fields.get("leaves")
    if fields.get("seal") != digest_json(rows) or not isinstance(rows, list):
        return None
    return tuple(TensorLeaf(name, dtype, tuple(shape), sha) for name, dtype, shape, sha in rows)
