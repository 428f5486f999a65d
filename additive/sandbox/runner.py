"""Running jobs: a few servers side by side, each replaced when a job takes it down.

What goes into the sandbox and what comes out.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from additive.errors import ResourceError
from additive.sandbox.inside import codec
from additive.sandbox.levels import SandboxLevel, strongest_level


@dataclass(frozen=True)
class Job:
    """Code from a model and the test statements that judge it.

    The code sees nothing of the tests; in the tests, what the code defines is callable as usual.

    code     what a model wrote
    tests    statements; the first that raises fails the job
    entry    the function that was asked for; it alone may have the name of one of Python's own
    setup    the item's own code, run before the code and, apart from it, for the tests: its names
             are the tests' own, whatever the code makes of them
    mutates  whether a call that returns a value changes its arguments for the tests, too; a call
             that returns None always does
    """

    code: str
    tests: tuple[str, ...]
    entry: str | None = None
    setup: str = ""
    mutates: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a job went.

    passed   whether every test passed
    reason   why it did not pass
    level    the sandbox level that held it
    output   the start of what the code printed (64 KB at most)
    seconds  wall time
    broken   whether it failed for a cause that is not the code's: the item's setup raised
    """

    passed: bool
    reason: str
    level: str
    output: str = ""
    seconds: float = 0.0
    broken: bool = False


@dataclass(frozen=True)
class CallError:
    """What came of a call that returned nothing: what it raised, or that it ran too long."""

    reason: str


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


_START_S = 60.0


_WALL = 6.0


_SLACK_S = 30.0


_CHUNK = 100


_MOST_WORKERS = 8


def run_tests(
    code: str,
    tests: Sequence[str],
    timeout_s: float = 5.0,
    memory_mb: int = 512,
    level: SandboxLevel | None = None,
) -> Outcome:
    """Run tests against code, held by the strongest level there is.

    Raises: SecurityError when nothing can hold the code.

    >>> run_tests("def add(a, b): return a + b", ["assert add(2, 3) == 5"]).passed
    True
    """
    return run_many([Job(code, tuple(tests))], Limits(timeout_s, memory_mb), level)[0]


def run_many(
    jobs: Sequence[Job],
    limits: Limits | None = None,
    level: SandboxLevel | None = None,
    workers: int | None = None,
) -> list[Outcome]:
    """The outcomes, in the order of the jobs; no job sees another.

    Args: workers is the number of servers, one per core when not given.
    Raises: SecurityError when nothing can hold the code.
    """
    bounds, held = limits or Limits(), level or strongest_level()
    messages = [{**asdict(job), "tests": list(job.tests)} for job in jobs]
    return [
        Outcome(
            passed=reply["passed"] is True,
            reason=str(reply["reason"]),
            level=held.name,
            output=str(reply["output"]),
            seconds=float(reply.get("seconds", 0.0)),
            broken=reply.get("broken") is True,
        )
        for reply in _all(messages, bounds, held, workers)
    ]


def call_many(
    calls: Calls,
    limits: Limits | None = None,
    level: SandboxLevel | None = None,
    workers: int | None = None,
) -> list[Any]:
    """What a function returns for each list of arguments; a CallError where it raised or ran too
    long.

    Args: limits hold for each hundred calls, which share a process.
    Raises: SecurityError when nothing can hold the code.
    """
    bounds, held = limits or Limits(timeout_s=20.0), level or strongest_level()
    size = _CHUNK
    chunks = [calls.arguments[at : at + size] for at in range(0, len(calls.arguments), size)]
    found: list[Any] = []
    replies = _all([_message(calls, chunk) for chunk in chunks], bounds, held, workers)
    for chunk, reply in zip(chunks, replies, strict=True):
        if reply["passed"]:
            found += reply["values"]
        else:  # one call took the others down: each alone
            alone = [_message(calls, [arguments]) for arguments in chunk]
            found += [
                one["values"][0] if one["passed"] else {"error": one["reason"]}
                for one in _all(alone, bounds, held, workers)
            ]
    return [_value(data) for data in found]


def _message(calls: Calls, arguments: Sequence[Sequence[Any]]) -> dict[str, Any]:
    rows = [list(row) for row in arguments]
    return {"code": calls.code, "function": calls.function, "calls": rows}


def _value(data: Any) -> Any:
    if isinstance(data, dict) and "error" in data:
        return CallError(str(data["error"]))
    return codec.decode(data, _no_handle)


def _no_handle(tag: str, number: int) -> Any:
    raise ValueError(f"{tag}{number} is not plain data")


def _all(
    messages: Sequence[dict[str, Any]], limits: Limits, level: SandboxLevel, workers: int | None
) -> list[dict[str, Any]]:
    if not messages:
        return []
    count = min(workers or os.cpu_count() or 1, _MOST_WORKERS, len(messages))
    found: list[dict[str, Any]] = [{} for _ in messages]
    queue = iter(range(len(messages)))

    def work() -> None:
        with _Server(level, limits) as server:
            for place in iter(lambda: next(queue, None), None):
                found[place] = server.run(messages[place])

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work) for _ in range(count)]:
            done.result()
    return found


class _Server:
    """One server process, started when needed and again after a job that it did not survive."""

    def __init__(self, level: SandboxLevel, limits: Limits) -> None:
        self._level, self._limits = level, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, message: dict[str, Any]) -> dict[str, Any]:
        """The verdict on one job; a server that is lost over it is the job's failure."""
        process = self._process or self._start()
        line = json.dumps({**message, "timeout_s": self._limits.timeout_s}) + "\n"
        reply = self._converse(process, line, _WALL * self._limits.timeout_s + _SLACK_S)
        if reply is not None:
            return reply
        self._stop()
        return {"passed": False, "reason": "took the sandbox down", "output": ""}

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._level.command,
            env=dict(self._level.environment),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._process, self._unread = process, b""
        settings = json.dumps(self._level.settings(self._limits.memory_mb)) + "\n"
        if self._converse(process, settings, _START_S) != {"ready": True}:
            self._stop()
            raise ResourceError(f"sandbox {self._level.name} does not start")
        return process

    def _converse(
        self, process: subprocess.Popen[bytes], line: str, timeout_s: float
    ) -> dict[str, Any] | None:
        """Send a line and wait for one; None when the server is gone or silent."""
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + timeout_s
        try:
            process.stdin.write(line.encode())
            process.stdin.flush()
        except BrokenPipeError:
            return None
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                return None
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                return None
            self._unread += part
        reply, _, self._unread = self._unread.partition(b"\n")
        return json.loads(reply)

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
