"""Where a merge spends its time: seconds by stage, summed over its threads.

The functions of each stage are wrapped while the work runs; an inner stage's time is not counted in
the outer one. Seconds are those that pass in the thread, so that waiting for the disk counts. The
wrapping costs a little, so what is profiled is a run of its own, never the one that is timed.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

# Deltas and rounding read what is mapped: reading warm pages is in them.
STAGES = ("factors", "survey", "draws", "deltas", "method", "rounding", "hash", "write", "fsync")


class Clock:
    """Seconds by stage, from any thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._local = threading.local()

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its own time counted."""

        @wraps(work)
        def wrapped(*given: Any, **named: Any) -> Any:
            outer, start = getattr(self._local, "inside", 0.0), time.perf_counter()
            self._local.inside = 0.0
            try:
                return work(*given, **named)
            finally:
                passed = time.perf_counter() - start
                with self._lock:
                    self.seconds[stage] += passed - self._local.inside
                self._local.inside = outer + passed

        return wrapped


def profile(work: Callable[[], object], method: type) -> dict[str, float]:
    """Seconds by stage while `work` merges with this kind of method."""
    clock = Clock()
    undo = [_wrap(clock, owner, name, stage) for owner, name, stage in _places(method)]
    undo.append(_wrap_hashes(clock))
    try:
        work()
    finally:
        for restore in undo:
            restore()
    return {stage: clock.seconds[stage] for stage in STAGES}


def _places(method: type) -> list[tuple[Any, str, str]]:
    from additive.deltas.lazy import Difference
    from additive.deltas.model import LowRank
    from additive.merge import apply, engine
    from additive.merge.method import Draws
    from additive.merge.sources import Sources
    from additive.tensors.writer import LayoutWriter

    return [
        (Sources, "stack", "factors"),
        (engine, "merged_part", "survey"),
        (Draws, "uniform", "draws"),
        (Difference, "rows", "deltas"),
        (Difference, "trained_rows", "deltas"),
        (LowRank, "dense", "deltas"),
        (method, "merge", "method"),
        (apply, "_apply_rows", "rounding"),
        (LayoutWriter, "write_at", "write"),
        (LayoutWriter, "flush", "fsync"),
        (LayoutWriter, "close", "fsync"),
    ]


def _wrap(clock: Clock, owner: Any, name: str, stage: str) -> Callable[[], None]:
    before = getattr(owner, name)
    setattr(owner, name, clock.timed(stage, before))
    return lambda: setattr(owner, name, before)


def _wrap_hashes(clock: Clock) -> Callable[[], None]:
    from additive.merge import engine

    def sha256() -> SimpleNamespace:
        digest = hashlib.sha256()
        update = clock.timed("hash", digest.update)
        return SimpleNamespace(update=update, hexdigest=digest.hexdigest)

    setattr(engine, "hashlib", SimpleNamespace(sha256=sha256))  # noqa: B010
    return lambda: setattr(engine, "hashlib", hashlib)
