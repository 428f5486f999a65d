"""What may lie in an artifact: plain files of known kinds, nothing that runs on loading."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from additive.artifacts.seal import MANIFEST
from additive.errors import SecurityError

PICKLES = frozenset(
    {
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
        ".pkl",
        ".pickle",
        ".joblib",
        ".npy",
        ".npz",
        ".h5",
        ".msgpack",
    }
)
ALLOWED = frozenset(
    {".safetensors", ".json", ".jsonl", ".jinja", ".txt", ".model", ".md", ".tiktoken"}
)
_WITHOUT_SUFFIX = frozenset({"LICENSE", "LICENCE", "NOTICE", "USE_POLICY"})
_PART = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_.+\-]{0,200}")
_MAGIC = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))


def walk(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below a directory as (relative POSIX path, status), sorted, links not followed."""
    for entry in sorted(os.scandir(directory), key=lambda e: e.name):
        status = entry.stat(follow_symlinks=False)
        yield entry.name, status
        if stat.S_ISDIR(status.st_mode):
            for name, below in walk(Path(entry.path)):
                yield f"{entry.name}/{name}", below


def list_files(directory: Path) -> tuple[str, ...]:
    """The files of a directory that is about to be frozen, without the manifest.

    Raises: SecurityError for a link, a device, a pickle by name or by content, code, or a name that
    is not plain.
    """
    files = []
    for name, status in walk(directory):
        if not _PART.fullmatch(name.rsplit("/", 1)[-1]):
            raise SecurityError(f"file name {name!r} is not plain", where=str(directory))
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise SecurityError(f"{name} is a link or device, not a file", where=str(directory))
        if name != MANIFEST:
            _check_kind(directory, name)
            files.append(name)
    return tuple(files)


def _check_kind(directory: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.suffix.lower() in PICKLES:
        raise SecurityError(
            f"{name} may be a pickle, which runs code when it is loaded",
            where=str(directory),
            help="keep optimizer state in the run's directory; save weights as safetensors",
        )
    if path.suffix not in ALLOWED and path.name not in _WITHOUT_SUFFIX:
        raise SecurityError(
            f"{name} is of no kind that an artifact holds ({', '.join(sorted(ALLOWED))})",
            where=str(directory),
        )
    with (directory / name).open("rb") as file:
        if file.read(4).startswith(_MAGIC):
            raise SecurityError(
                f"{name} is a pickle or an archive by content", where=str(directory)
            )
