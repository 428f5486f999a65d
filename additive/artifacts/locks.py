"""Locks that name their holder and that the kernel frees when the holder dies.

The lock itself is `flock` on a file that is never removed; who holds it stands in `<lock>.holder`,
for people.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from additive.artifacts.atomic import is_running, write_json
from additive.errors import IntegrityError, LockedError
from additive.tensors.disk import disk_errors
from additive.tensors.json import read_object


@dataclass(frozen=True)
class Holder:
    """Who holds a lock; `since` is UTC in ISO 8601."""

    pid: int
    host: str
    since: str
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since} (`{self.command}`)"


@contextmanager
def lock(
    path: Path,
    what: str,
    wait_s: float | None = 0.0,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold an exclusive lock; wait up to `wait_s` seconds for it, without end for None.

    `what` says in a few words what is locked ("domain math"); `on_wait` is told once who is waited
    for.

    Raises: LockedError naming the holder's process, host, start and command.

    Example:
        with lock(workspace.locks / "train-math.lock", "domain math", wait_s=0):
            ...
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    guard = FileLock(path, thread_local=False)
    with disk_errors(path):
        _acquire(guard, path, what, wait_s, on_wait)
    holder = _holder_path(path)
    try:
        write_json(holder, asdict(_this_process()))
        yield
    finally:
        holder.unlink(missing_ok=True)
        guard.release()


def _acquire(
    guard: FileLock,
    path: Path,
    what: str,
    wait_s: float | None,
    on_wait: Callable[[str], None] | None,
) -> None:
    try:
        guard.acquire(timeout=0)
        return
    except Timeout:
        sentence = f"{what} is held by {_describe(path)}"
    if on_wait is not None and wait_s != 0:
        on_wait(sentence)
    try:
        guard.acquire(timeout=-1 if wait_s is None else wait_s, poll_interval=0.1)
    except Timeout:
        raise LockedError(
            sentence, where=str(path), help="wait for it, or stop it; the lock is free when it ends"
        ) from None


def _describe(path: Path) -> str:
    # The holder writes its name a moment after it took the lock; until then the file is missing or
    # a dead one's.
    for _ in range(10):
        holder = read_holder(path)
        if holder and (holder.host != socket.gethostname() or is_running(holder.pid)):
            return str(holder)
        time.sleep(0.05)
    return "another process"


def read_holder(path: Path) -> Holder | None:
    """Who wrote itself down as the holder of a lock; None when nobody did."""
    try:
        fields = read_object(_holder_path(path), 1 << 16)
        return Holder(
            int(fields["pid"]), str(fields["host"]), str(fields["since"]), str(fields["command"])
        )
    except (IntegrityError, FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def _this_process() -> Holder:
    command = "".join(c if c.isprintable() else "?" for c in shlex.join(sys.argv))
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(os.getpid(), socket.gethostname(), since, command[:200])


def _holder_path(path: Path) -> Path:
    return path.with_name(path.name + ".holder")
