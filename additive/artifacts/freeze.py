"""Turning a finished working directory into a frozen one: checked, hashed, on disk, sealed.

Nothing here makes it visible; that is the store's one rename.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from additive.artifacts.admissible import list_files, walk
from additive.artifacts.atomic import create_synced
from additive.artifacts.content import directory_digests, stem_of
from additive.artifacts.manifest import FileEntry, Manifest, ManifestDraft, complete
from additive.artifacts.seal import MANIFEST
from additive.errors import IntegrityError
from additive.tensors.disk import disk_errors, sync_directory, sync_file
from additive.tensors.finite import non_finite
from additive.tensors.reader import open_checkpoint
from additive.types.digests import digest_file


def describe(staged: Path, draft: ManifestDraft) -> Manifest:
    """The manifest that a directory gets: checks everything, hashes every byte, writes nothing.

    Raises: SecurityError for files that do not belong in an artifact, IntegrityError for weights
    that are damaged or not finite.
    """
    names = list_files(staged)
    _check_weights(staged)
    snapshots = []
    for snapshot in draft.snapshots:
        _check_weights(staged / snapshot.path)
        weights = directory_digests(staged / snapshot.path).weights
        snapshots.append(snapshot.model_copy(update={"digest": weights}))
    draft = draft.model_copy(update={"snapshots": tuple(snapshots)})
    return complete(draft, asdict(directory_digests(staged)), _entries(staged, names))


def settle(staged: Path, manifest: Manifest) -> None:
    """Write the manifest last, force all to disk; files become read-only, umask kept.

    Directories stay writable, as in git's object store: whoever owns a workspace may delete it, and
    an extra file is found by verification.

    Raises: ResourceError when the disk is full or fails; the directory must then be discarded.
    """
    with disk_errors(staged):
        (staged / MANIFEST).unlink(missing_ok=True)
        for name in manifest.files:
            sync_file(staged / name)
        mode = create_synced(staged / MANIFEST, manifest.text().encode())
        _set_modes(staged, mode)
        for directory in _directories(staged):
            sync_directory(directory)


def _check_weights(directory: Path) -> None:
    if not directory.is_dir():
        raise IntegrityError("snapshot is missing", where=str(directory))
    with open_checkpoint(directory, stem_of(directory)) as checkpoint:
        broken = non_finite(checkpoint)
    if broken:
        raise IntegrityError(
            f"tensor {broken[0]!r} holds NaN or infinity ({len(broken)} such tensors)",
            where=str(directory),
        )


def _entries(staged: Path, names: Sequence[str]) -> dict[str, FileEntry]:
    def entry(name: str) -> FileEntry:
        path = staged / name
        return FileEntry(sha256=digest_file(path), size=path.stat().st_size)

    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(entry, names), strict=True))


def _set_modes(staged: Path, created: int) -> None:
    # `created` is what the umask left of 0666 for the manifest: the umask itself cannot be read
    # without setting it.
    for path in _directories(staged):
        path.chmod(created | (created & 0o444) >> 2)
    for name, status in walk(staged):
        path = staged / name
        if not path.is_dir() and status.st_mode & 0o777 != created & 0o444:
            path.chmod(created & 0o444)


def _directories(staged: Path) -> list[Path]:
    below = [staged / name for name, _ in walk(staged) if (staged / name).is_dir()]
    return [*reversed(below), staged]
