"""Which version of a name is the newest: by order of freezing, never by clock.

One empty file per freeze, `<number>.<digest>`. It is written before the artifact appears and counts
only once that is there, so that the rename which makes the artifact whole also makes it the newest.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from additive.artifacts.atomic import create_synced
from additive.tensors.disk import sync_directory
from additive.types.digests import Digest

_ENTRY = re.compile(r"(\d{8,})\.([0-9a-f]{64})")


def frozen_order(directory: Path) -> tuple[Digest, ...]:
    """Digests by their last freeze, oldest first."""
    last = {digest: number for number, digest in _entries(directory)}
    return tuple(sorted(last, key=lambda digest: (last[digest], digest)))


def announce(directory: Path, digest: Digest) -> Path | None:
    """Write that a digest is about to be frozen; None when it is the newest already.

    Two processes may take the same number; the greater digest then counts as the later one,
    everywhere.
    """
    entries = _entries(directory)
    if entries and entries[-1][1] == digest:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    number = entries[-1][0] + 1 if entries else 1
    entry = directory / f"{number:08d}.{digest}"
    # Another process that freezes the same artifact may have written the same entry just now.
    with suppress(FileExistsError):
        create_synced(entry, b"")
    sync_directory(directory)
    return entry


def retire(directory: Path, digest: Digest) -> None:
    """Remove the entries of a digest's earlier freezes."""
    for number, _ in [entry for entry in _entries(directory) if entry[1] == digest][:-1]:
        (directory / f"{number:08d}.{digest}").unlink(missing_ok=True)


def _entries(directory: Path) -> list[tuple[int, Digest]]:
    if not directory.is_dir():
        return []
    found = [_ENTRY.fullmatch(path.name) for path in directory.iterdir()]
    return sorted((int(match[1]), match[2]) for match in found if match)
