"""What other processes do while a test looks at a merge; they come from a server of processes."""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path

from additive.artifacts.locks import lock
from additive.cli.main import run

CHILDREN = multiprocessing.get_context("forkserver")


def start_holding(path: Path, seconds: float) -> ForkServerProcess:
    """A process that has the lock when this returns, and keeps it for a while."""
    held = CHILDREN.Event()
    child = CHILDREN.Process(target=_hold, args=(path, seconds, held))
    child.start()
    assert held.wait(300)
    return child


def start_merging(root: Path, name: str) -> ForkServerProcess:
    """A process that merges a recipe, or waits for who does; its exit code is the command's."""
    child = CHILDREN.Process(target=_merge, args=(root, name))
    child.start()
    return child


def _hold(path: Path, seconds: float, held: Event) -> None:
    with lock(path, "a merge"):
        held.set()
        time.sleep(seconds)


def _merge(root: Path, name: str) -> None:
    sys.exit(run(["-C", str(root), "merge", name, "--no-check", "--wait"]))
