"""Faults at the n-th step of something that writes: death, an error, an interrupt.

`at_call` acts in this process, before the n-th call of `os` that changes the disk; strace acts on a
child at the n-th system call itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

import pytest

WRITING = (
    "open",
    "mkdir",
    "rename",
    "replace",
    "fsync",
    "unlink",
    "chmod",
    "pwrite",
    "posix_fallocate",
    "rmdir",
)
SYSCALLS = "mkdir,rename,fsync,unlink,unlinkat,chmod,fchmodat,pwrite64,flock,rmdir"
STRACE = shutil.which("strace")


@contextmanager
def at_call(number: int, act: Callable[[], None]) -> Iterator[Counter[str]]:
    """Act just before the n-th call of os that changes the disk; counts the calls."""
    calls: Counter[str] = Counter()
    originals = {name: getattr(os, name) for name in WRITING}
    counting = Lock()

    def wrap(name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if name != "open" or (len(args) > 1 and args[1] & os.O_CREAT):  # type: ignore[operator]
                with counting:
                    calls[name] += 1
                    now = calls.total() == number
                if now:
                    act()
            return originals[name](*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in WRITING:
            patch.setattr(os, name, wrap(name))
        yield calls


def can_trace() -> bool:
    if STRACE is None:
        return False
    return (
        subprocess.run(
            [STRACE, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "true"],
            check=False,
        ).returncode
        == 0
    )


needs_strace = pytest.mark.skipif(not can_trace(), reason="strace is not there or may not trace")
