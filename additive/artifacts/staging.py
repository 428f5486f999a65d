"""Places to work in that vanish with their process.

A staging directory has a lock file beside it that its process holds. The kernel frees the lock when
the process dies, however it dies; whoever starts next removes what nobody holds.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from additive.tensors.disk import disk_errors


@contextmanager
def staging_directory(root: Path, label: str) -> Iterator[Path]:
    """An empty directory below `root`, removed at the end unless it was moved away.

    Raises: ResourceError when the disk is full or fails.
    """
    path = root / f"{label}-{os.getpid()}-{secrets.token_hex(4)}"
    owner = _lock(_lock_path(path))
    try:
        with disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            with _lock(root / "mutex"):
                _reclaim(root)
                owner.acquire()
                path.mkdir()
        yield path
    finally:
        _release(path, owner)


def reclaim(root: Path) -> tuple[str, ...]:
    """Remove the staging directories of dead processes; gives their names."""
    if not root.is_dir():
        return ()
    with disk_errors(root), _lock(root / "mutex"):
        return _reclaim(root)


def _reclaim(root: Path) -> tuple[str, ...]:
    labels = {p.name.removesuffix(".lock") for p in root.iterdir() if p.name != "mutex"}
    return tuple(label for label in sorted(labels) if _reclaim_one(root / label))


def _reclaim_one(path: Path) -> bool:
    owner = _lock(_lock_path(path))
    try:
        owner.acquire(blocking=False)
    except Timeout:
        return False
    _release(path, owner)
    return True


def _release(path: Path, owner: FileLock) -> None:
    # What cannot be removed now is removed at the next start; the error that led here matters more.
    try:
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            _lock_path(path).unlink()
    finally:
        owner.release()


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _lock(path: Path) -> FileLock:
    return FileLock(path, thread_local=False)
