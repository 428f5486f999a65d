"""Files that are either the old one or the new one, never something between."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.tensors.disk import disk_errors, sync_directory, write_all
from additive.tensors.writer import write_file

if TYPE_CHECKING:
    from torch import Tensor


def render_json(value: Any) -> str:
    """The one text of a JSON value in our files: sorted keys, two spaces, no NaN.

    >>> print(render_json({"b": 1, "a": []}), end="")
    {
      "a": [],
      "b": 1
    }
    """
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a text file beside its place, force it to disk, rename it there; umask kept.

    Raises: ResourceError when the disk is full or fails; then the old file is untouched.
    """
    with _beside(path) as temporary:
        create_synced(temporary, text.encode())


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file as `write_text` writes text; several processes may write the same
    one at once.
    """
    with _beside(path) as temporary:
        write_file(temporary, tensors, metadata)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name of this thread's own beside a file, which takes the file's place in the end."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        try:
            yield temporary
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value as `render_json` renders it, as `write_text` writes it."""
    write_text(path, render_json(value))


def create_synced(path: Path, data: bytes) -> int:
    """Create a new file, force it to disk, and give the mode that the umask left it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        write_all(descriptor, data, 0)
        os.fsync(descriptor)
        return os.fstat(descriptor).st_mode & 0o777
    finally:
        os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    # A killed process cannot remove its temporary file; the next writer of the same file does.
    pattern = re.compile(rf"\.{{1,2}}{re.escape(path.name)}\.(\d+)-\d+\.tmp(\.part)?")
    for entry in path.parent.iterdir():
        match = pattern.fullmatch(entry.name)
        if match and not is_running(int(match[1])):
            entry.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
