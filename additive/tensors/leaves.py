"""The sha256 of every tensor of a checkpoint: the leaves of its weights digest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from additive.tensors.reader import Checkpoint
from additive.types.digests import TensorLeaf, digest_bytes


def leaves_of(
    checkpoint: Checkpoint, names: Sequence[str] | None = None, threads: int | None = None
) -> tuple[TensorLeaf, ...]:
    """One leaf per tensor (all, or the named ones) in the checkpoint's order, hashed in threads.

    Example: `weights_digest(leaves_of(open_checkpoint(directory)))`
    """

    def leaf(name: str) -> TensorLeaf:
        info = checkpoint.info(name)
        return TensorLeaf(name, info.dtype, info.shape, digest_bytes(checkpoint.bytes(name)))

    with ThreadPoolExecutor(threads or min(os.cpu_count() or 1, 8)) as pool:
        return tuple(pool.map(leaf, checkpoint.names() if names is None else names))
