"""Durable writing: what is said to be on disk is on disk, and a full disk is an error with a name.

A file is safe after `fsync` of the file, a new name after `fsync` of its directory. After a failed
fsync the kernel may have dropped the pages (Rebello et al., ATC'20), so nothing here retries: the
caller discards the file.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from additive.errors import ResourceError
from additive.types.units import size_text

_HELP = {
    errno.EACCES: "look at the owner and the mode of this path",
    errno.EPERM: "look at the owner and the mode of this path",
    errno.ENOSPC: "free some space on this file system, then run the same command again",
    errno.EDQUOT: "free some of your quota, then run the same command again",
    errno.EIO: "the device failed; look at `dmesg`, then run the same command again",
    errno.EFBIG: "the file size limit is too small (`ulimit -f`)",
    errno.EROFS: "the file system is read-only; choose a workspace elsewhere",
    errno.EMFILE: "the limit of open files is too small (`ulimit -n`)",
    errno.ENFILE: "the machine has too many open files",
    errno.ENOMEM: "the machine is out of memory",
}


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn a full, failing or forbidden disk into a ResourceError that names the place.

    Raises: ResourceError for those; every other OSError goes through unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _HELP:
            raise
        place = str(error.filename2 or error.filename or where)  # of two files the written one
        raise ResourceError(
            f"cannot be written or read: {os.strerror(error.errno).lower()}",
            where=place,
            help=_HELP[error.errno],
        ) from error


def require_space(directory: Path, needed: int, what: str) -> None:
    """Refuse work that the file system of a directory has no room for; `what` is what takes it.

    Raises: ResourceError.
    """
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise ResourceError(
            f"disk has {size_text(free)} free; {what} takes {size_text(needed)}",
            where=str(directory),
            help=_HELP[errno.ENOSPC],
        )


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write every byte at an offset, however short the single writes are."""
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def reserve(descriptor: int, size: int) -> None:
    """Take the disk space of a file now, so that a full disk shows before the work."""
    if size == 0:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        os.ftruncate(descriptor, size)


def sync_file(path: Path) -> None:
    """Force a file's bytes to the device."""
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Force a directory's entries (new, renamed and removed names) to the device."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
