"""Are two expressions equal? math-verify says, in a process of its own.

math-verify parses LaTeX with sympy, which can run for ever on a hostile answer, and its own time
limits need the main thread's alarm. So a child process does it, each pair in a fork that is killed
after a second (that pair counts as not equal). A tower of powers, or an exponent or factorial of
many digits, is not even tried: it would be compared as unevaluated or not at all.
"""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from additive.errors import ResourceError

VERSION = "math-verify"


_TIMEOUT_S = 1.0


_START_S = 120.0


_GRACE_S = 30.0


_MOST_CHARACTERS = 4000


_HUGE = re.compile(
    r"(?:\^|\*\*)[\s{(]*-?[\d.]+[\s})]*(?:\^|\*\*)|(?:\^|\*\*)[\s{(]*\d{5,}|\d{4,}[\s})]*!|![\s})]*!"
)


@dataclass(frozen=True)
class Equality:
    """Whether the given expression equals the expected one, and whether it could be read."""

    equal: bool
    readable: bool


def equal_many(pairs: Sequence[tuple[str, str]], timeout_s: float = _TIMEOUT_S) -> list[Equality]:
    """For each (expected, given), in order.

    Args: timeout_s is for each pair.
    Raises: ResourceError when the child process cannot be started.
    """
    found: list[Equality] = []
    while len(found) < len(pairs):
        found += _one_child(pairs[len(found) :], timeout_s)
    return found


def _one_child(pairs: Sequence[tuple[str, str]], timeout_s: float) -> list[Equality]:
    """The first pairs, up to the one on which the child hangs or dies (which is not equal)."""
    child = subprocess.Popen(
        [sys.executable, "-m", "additive.graders.symbolic_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        return _converse(child, pairs, timeout_s)
    finally:
        child.kill()
        child.communicate()


def _converse(
    child: subprocess.Popen[str], pairs: Sequence[tuple[str, str]], timeout_s: float
) -> list[Equality]:
    assert child.stdin is not None
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(child, lines), daemon=True).start()
    if _next(lines, _START_S) != "ready":
        raise ResourceError(
            "math-verify does not start", help="reinstall it: pip install --force math-verify"
        )
    found = []
    for expected, given in pairs:
        if _HUGE.search(expected) or _HUGE.search(given):
            found.append(Equality(False, False))
            continue
        pair = [expected[:_MOST_CHARACTERS], given[-_MOST_CHARACTERS:], timeout_s]
        try:
            child.stdin.write(json.dumps(pair) + "\n")
            child.stdin.flush()
        except BrokenPipeError:
            return [*found, Equality(False, False)]
        line = _next(lines, timeout_s + _GRACE_S)
        if not line:
            return [*found, Equality(False, False)]
        equal, readable = json.loads(line)
        found.append(Equality(equal, readable))
    return found


def _read(child: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line.strip())
    lines.put("")


def _next(lines: queue.Queue[str], timeout_s: float) -> str:
    try:
        return lines.get(timeout=timeout_s)
    except queue.Empty:
        return ""
