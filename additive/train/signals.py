"""Ctrl-C and SIGTERM while training: the step is finished, the state saved, the run goes on later.

The first signal asks; the loop looks after every step. A second Ctrl-C stops at once, and the run
goes on from its last checkpoint.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from additive.errors import Interrupted, Terminated

_HELP = "run the same command again: it goes on from here"


@dataclass
class StopRequest:
    """Which signal asked the run to stop, if any."""

    signal: int | None = None

    def error(self, step: int | None) -> Interrupted:
        """The error that ends the run, with its exit code; without a step it was stopped at
        once."""
        kind = Terminated if self.signal == signal.SIGTERM else Interrupted
        done = "at once" if step is None else f"after step {step}"
        state = "its last checkpoint stays" if step is None else "its state is saved"
        return kind(f"training stopped {done}; {state}", help=_HELP)


@contextmanager
def listen() -> Iterator[StopRequest]:
    """Note Ctrl-C and SIGTERM instead of dying of them; outside the main thread nothing is
    noted."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = number

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
