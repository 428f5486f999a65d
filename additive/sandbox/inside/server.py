"""The server: jobs in as JSON lines, verdicts out, one job at a time.

Processor time is what is bounded, so that a busy machine gives the same verdicts; the bound on wall
time is for code that sleeps.

First line: {"memory_mb", "files": "landlock" | "all" | "none", "readable": [...], "filter": true}.
A job: {"code", "tests": [...], "timeout_s"} or {"code", "function", "calls": [[...]], "timeout_s"}.
"""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from . import child, confine
from .driver import drive
from .remote import TIMED_OUT, Connection

_GRACE_S = 0.5
_WALL = 6.0  # wall time that a job may take for each second of processor time that it may use
_MOST_VERDICT = 8 << 20
_PRELOADED = (
    "abc argparse array ast base64 binascii bisect calendar cmath collections collections.abc "
    "colorsys contextlib copy csv ctypes dataclasses datetime decimal difflib dis enum fractions "
    "functools gc glob graphlib hashlib heapq html inspect io itertools json keyword linecache "
    "locale logging math numbers operator os os.path pickle pprint queue random re secrets shlex "
    "statistics string struct sys textwrap threading time timeit traceback types typing "
    "unicodedata unittest uuid warnings weakref zlib encodings.ascii encodings.latin_1 "
    "encodings.utf_8 encodings.utf_16"
)


def main() -> None:
    """Serve until the input ends."""
    jobs, verdicts = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    nowhere, _ = os.pipe()
    for file in (0, 1, 2):
        os.dup2(nowhere, file)
    settings = json.loads(jobs.readline())
    for name in _PRELOADED.split():
        importlib.import_module(name)
    sys.set_int_max_str_digits(0)
    gc.collect()
    gc.freeze()  # what is there is never looked at again, so that forks go on sharing its pages
    _confine_family(settings)
    zygote = _start_zygote(settings)
    print(json.dumps({"ready": True}), file=verdicts, flush=True)
    for line in jobs:
        verdict = _serve(json.loads(line), zygote, settings)
        print(json.dumps(verdict), file=verdicts, flush=True)


def _confine_family(settings: Mapping[str, Any]) -> None:
    """What holds for the server and all that it starts, from here on."""
    if not settings["filter"]:
        return
    confine.drop_privileges()
    if settings["files"] == "landlock":
        confine.read_only(settings["readable"])


def _confine(settings: Mapping[str, Any], timeout_s: float) -> None:
    """What holds for a driver or a child."""
    confine.limit(settings["memory_mb"] << 20, math.ceil(timeout_s))
    if settings["filter"]:
        confine.filter_calls(settings["files"] != "none")


def _serve(job: Mapping[str, Any], zygote: socket.socket, settings: Mapping[str, Any]) -> Any:
    begun = time.monotonic()
    (asked, requests), (replies, replied), (printed, prints) = (os.pipe() for _ in range(3))
    socket.send_fds(zygote, [b"fork %g" % job["timeout_s"]], [asked, replied, prints])
    for file in (asked, replied, prints):
        os.close(file)
    verdict, told = os.pipe()
    driver = os.fork()
    if driver == 0:
        zygote.close()
        os.close(verdict)
        connection = Connection(requests, replies, printed, begun + _WALL * job["timeout_s"])
        _drive(job, connection, told, settings)
    for file in (requests, replies, printed, told):
        os.close(file)
    found = _read(verdict, begun + _WALL * job["timeout_s"] + _GRACE_S)
    os.close(verdict)
    os.kill(driver, signal.SIGKILL)
    os.waitpid(driver, 0)
    zygote.send(b"stop")
    signal_name = zygote.recv(64).decode()
    if not found["passed"] and signal_name in ("SIGXCPU", "SIGKILL"):
        found["reason"] = TIMED_OUT
    elif not found["passed"] and signal_name != "-":
        found["reason"] = f"crashed with {signal_name}"
    return {**found, "seconds": time.monotonic() - begun}


def _drive(
    job: Mapping[str, Any], connection: Connection, told: int, settings: Mapping[str, Any]
) -> None:
    _confine(settings, job["timeout_s"])
    body = json.dumps(drive(job, connection)).encode()
    while body:
        body = body[os.write(told, body) :]
    os._exit(0)


def _read(verdict: int, deadline: float) -> dict[str, Any]:
    """The driver's verdict; what is no whole verdict by the deadline is a failure."""
    body = b""
    while (left := deadline - time.monotonic()) > 0 and len(body) < _MOST_VERDICT:
        if not select.select([verdict], [], [], left)[0]:
            break
        part = os.read(verdict, 1 << 16)
        if not part:
            try:
                return json.loads(body)
            except ValueError:
                return {"passed": False, "reason": "the tests ended their process", "output": ""}
        body += part
    return {"passed": False, "reason": TIMED_OUT, "output": ""}


def _start_zygote(settings: Mapping[str, Any]) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _zygote(theirs, settings)
    theirs.close()
    return ours


def _zygote(server: socket.socket, settings: Mapping[str, Any]) -> None:
    """Fork a child when told to, kill it when told to, end with the server."""
    pid = 0
    while True:
        message, files, _, _ = socket.recv_fds(server, 64, 3)
        if not message:
            os._exit(0)
        if message.startswith(b"fork"):
            pid = os.fork()
            if pid == 0:
                _become_child(files, settings, float(message.split()[1]))
            for file in files:
                os.close(file)
        elif pid:
            server.send(_end(pid).encode())
            pid = 0


def _end(pid: int) -> str:
    """Kill a child and reap it; the signal that had killed it before, else "-"."""
    gone, status = os.waitpid(pid, os.WNOHANG)
    if not gone:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return signal.Signals(os.WTERMSIG(status)).name if gone and os.WIFSIGNALED(status) else "-"


def _become_child(files: list[int], settings: Mapping[str, Any], timeout_s: float) -> None:
    """Keep three pipes and nothing else, give up all rights, and serve the driver."""
    spare = [os.dup2(file, 20 + place) for place, file in enumerate(files)]
    for file, place in zip(spare, (child.REQUESTS, child.REPLIES, child.OUTPUT), strict=True):
        os.dup2(file, place)
    os.dup2(child.OUTPUT, 2)
    os.closerange(5, 256)
    os.close(0)
    sys.stdin = None
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False, errors="replace")
    _confine(settings, timeout_s)
    with child.Caught():
        child.serve()
    os._exit(0)


if __name__ == "__main__":
    main()
