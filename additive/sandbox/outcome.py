"""What goes into the sandbox and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Job:
    """Code from a model and the test statements that judge it.

    The code sees nothing of the tests; in the tests, what the code defines is callable as usual.
    `entry` is the function that was asked for; it alone may have the name of one of Python's own.
    """

    code: str
    tests: tuple[str, ...]
    entry: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job went: `reason` says why it did not pass; `output` is the start of what the code
    printed (64 KB at most), `rung` what held it."""

    passed: bool
    reason: str
    rung: str
    output: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Calls:
    """A trusted function applied to many lists of plain arguments, as users' graders are run."""

    code: str
    function: str
    arguments: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Limits:
    """Bounds of one job: processor time in seconds (of wall time it may take six times that), and
    memory in MB."""

    timeout_s: float = 5.0
    memory_mb: int = 512
