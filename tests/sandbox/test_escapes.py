"""Nothing that tries to get out, or to pass without the work, does, on any level that is here."""

from __future__ import annotations

import os
import socket
import time

import pytest

from additive.sandbox import Job, Limits, run_many, run_tests, sandbox_levels
from additive.sandbox.levels import works
from tests.sandbox.escapes import ESCAPES, SLOW_ESCAPES

HERE = {level.name: level for level in sandbox_levels()}
TEST = ("assert f() == 1, 'TESTS-MARK'",)
HONEST = Job("def f(): return 1", TEST)


@pytest.fixture(params=["bwrap", "landlock", "seccomp"])
def level(request):
    """A level by the beginning of its name, skipped where this machine does not have it."""
    found = [level for name, level in HERE.items() if name.startswith(request.param)]
    if not found or not works(found[0]):
        pytest.skip(f"{request.param} is not available here")
    return found[0]


@pytest.fixture
def traps(tmp_path, monkeypatch):
    """A secret in a file and in the environment, a place to write to, and open ports to reach."""
    secret, outside = tmp_path / "secret", tmp_path / "outside"
    secret.write_text("hunter2")
    monkeypatch.setenv("SECRET", "hunter2")
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        udp.settimeout(0.05)
        yield {"{secret}": str(secret), "{outside}": str(outside), "{port}": str(port)}
        with pytest.raises(TimeoutError):
            udp.recv(16)
    assert not outside.exists()


def armed(code, traps):
    for mark, value in traps.items():
        code = code.replace(mark, value)
    return code


def test_no_escape_passes(level, traps):
    jobs = [Job(armed(code, traps), TEST) for code in ESCAPES.values()]
    mixed = [job for escape in jobs for job in (escape, HONEST)]
    outcomes = run_many(mixed, Limits(timeout_s=5), level)
    passed = [name for name, found in zip(ESCAPES, outcomes[::2], strict=True) if found.passed]
    assert not passed
    # what comes after an attack is judged as if it had not been
    assert all(found.passed for found in outcomes[1::2])
    assert {found.level for found in outcomes} == {level.name}


def test_what_takes_too_long_is_stopped(level):
    jobs = [Job(code, TEST) for code in SLOW_ESCAPES.values()]
    outcomes = run_many([*jobs, HONEST], Limits(timeout_s=0.5), level)
    assert outcomes[0].reason == "timed out"
    # the kernel's own bounds on processor time and processes may come before the clock's
    stopped = {"timed out", "ended the process", "the tests ended their process"}
    assert {found.reason for found in outcomes[:-1]} <= stopped
    assert outcomes[-1].passed
    assert all(len(found.output) <= 64 << 10 for found in outcomes)


def test_nothing_is_left_running(level):
    before = processes()
    run_many([Job(code, TEST) for code in list(SLOW_ESCAPES.values())[:2]], Limits(0.3), level)
    deadline = time.monotonic() + 10
    while left := [name for name in processes() - before if "inside.server" in name]:
        # the kernel ends what lived in bwrap's process namespace after bwrap itself is gone
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def processes():
    """What runs, but for what another worker of this test run has started."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                text = f"{pid} {file.read().decode(errors='replace')}"
            with open(f"/proc/{pid}/stat") as file:
                found[int(pid)] = int(file.read().rpartition(")")[2].split()[1]), text
        except OSError:
            continue
    return {text for pid, (_, text) in found.items() if not _of_another_worker(pid, found)}


def _of_another_worker(pid, found):
    """Whether a process descends from what runs our workers, and not from this one."""
    line = []
    while pid in found and pid not in line:
        line.append(pid)
        pid = found[pid][0]
    return os.getppid() in line and os.getpid() not in line


def test_the_attacks_are_real():
    """Each attack that needs no special machine passes where nothing holds it: in plain Python."""
    for name in ("equals everything", "is a number that equals everything"):
        space = {}
        exec(ESCAPES[name], space)
        assert space["f"]() == 1


def test_an_honest_answer_passes(level):
    found = run_tests("def add(a, b): return a + b", ["assert add(2, 3) == 5"], level=level)
    assert (found.passed, found.reason, found.level) == (True, "", level.name)
