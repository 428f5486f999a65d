"""Death, interruption and a full disk at every step of freezing."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from additive.artifacts.store import Store
from additive.errors import ResourceError
from tests.artifacts.faults import STRACE, SYSCALLS, at_call, needs_strace
from tests.artifacts.freezing import check_clean, freeze_prepared, staged_names
from tests.artifacts.making import write_adapter, write_rest


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("prepared") / "math"
    write_adapter(directory)
    write_rest(directory)
    write_adapter(directory / "snapshots" / "0.5", 0.5)
    return directory


@pytest.fixture
def fast(tmp_path) -> Iterator[Path]:
    """A place where forcing to disk costs nothing, where there is one."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def digest(prepared, tmp_path_factory) -> str:
    return freeze_prepared(tmp_path_factory.mktemp("undisturbed"), prepared).digest


def number_of_calls(root: Path, prepared: Path) -> int:
    with at_call(-1, lambda: None) as calls:
        freeze_prepared(root, prepared)
    assert {"mkdir", "fsync", "open", "rename", "chmod", "pwrite"} <= calls.keys()
    return calls.total()


def die_at(number: int, root: Path, prepared: Path) -> int:
    """Freeze in a child that dies, without any clean-up, at its n-th call; gives its exit code."""
    child = os.fork()
    if child == 0:
        with at_call(number, lambda: os._exit(9)):
            freeze_prepared(root, prepared)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_death_at_any_call_leaves_nothing_or_the_whole_and_the_next_run_ends_the_same(
    fast, prepared, digest
):
    outcomes = Counter[int]()
    for number in range(1, number_of_calls(fast / "count", prepared) + 1):
        root = fast / str(number)
        assert die_at(number, root, prepared) == 9
        outcomes[check_clean(root, digest)] += 1
        assert freeze_prepared(root, prepared).digest == digest
        assert check_clean(root, digest) == 1
        assert staged_names(root) == []
    assert outcomes[0] > 20
    assert outcomes[1] > 2


def test_death_twice_in_a_row_is_no_worse(fast, prepared, digest):
    last = number_of_calls(fast / "count", prepared)
    for first in range(3, last, 9):
        root = fast / str(first)
        assert die_at(first, root, prepared) == 9
        assert die_at(last - first, root, prepared) in (0, 9)
        check_clean(root, digest)
        assert freeze_prepared(root, prepared).digest == digest
        assert staged_names(root) == []


def test_a_full_or_failing_disk_at_any_call_is_an_error_with_a_name_and_leaves_no_trace(
    fast, prepared, digest
):
    def fail() -> None:
        code = (errno.ENOSPC, errno.EDQUOT, errno.EIO)[number % 3]
        raise OSError(code, os.strerror(code))

    for number in range(1, number_of_calls(fast / "count", prepared) + 1):
        root = fast / str(number)
        with suppress(ResourceError), at_call(number, fail):
            freeze_prepared(root, prepared)
        check_clean(root, digest)
        assert freeze_prepared(root, prepared).digest == digest
        assert staged_names(root) == []


def test_an_interrupt_at_any_call_cleans_up_behind_itself(fast, prepared, digest):
    def interrupt() -> None:
        raise KeyboardInterrupt

    for number in range(1, number_of_calls(fast / "count", prepared) + 1):
        root = fast / str(number)
        with pytest.raises(KeyboardInterrupt), at_call(number, interrupt):
            freeze_prepared(root, prepared)
        check_clean(root, digest)
        assert freeze_prepared(root, prepared).digest == digest
        assert staged_names(root) == []


def run(root: Path, prepared: Path, *inject: str) -> subprocess.CompletedProcess[str]:
    tracing = (
        [STRACE, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", *inject]
        if STRACE and inject
        else []
    )
    command = [*tracing, sys.executable, "-m", "tests.artifacts.freezing", str(root), str(prepared)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def points(root: Path, prepared: Path, log: Path) -> list[tuple[str, int]]:
    """Every (system call, n) of an undisturbed freezing process that names or changes the store."""
    run(root, prepared, "-o", str(log), "-e", f"trace={SYSCALLS}")
    counts = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
    return [(name, n) for name, count in sorted(counts.items()) for n in range(1, count + 1)]


def check_kill(root: Path, prepared: Path, digest: str, point: tuple[str, int]) -> None:
    name, n = point
    done = run(root, prepared, "-e", f"inject={name}:signal=KILL:when={n}")
    assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL, 0), done.stderr
    check_clean(root, digest)
    assert freeze_prepared(root, prepared).digest == digest
    assert check_clean(root, digest) == 1
    assert staged_names(root) == []


def check_full(root: Path, prepared: Path, digest: str, point: tuple[str, int]) -> None:
    name, n = point
    done = run(root, prepared, "-e", f"inject={name}:error=ENOSPC:when={n}")
    assert done.returncode in (0, 4), done.stderr
    assert done.returncode == 0 or "no space left" in done.stderr
    check_clean(root, digest)
    assert staged_names(root) == [] or name.startswith(("unlink", "rmdir"))
    assert freeze_prepared(root, prepared).digest == digest
    assert staged_names(root) == []


@needs_strace
def test_kill_9_at_a_score_of_system_calls(tmp_path, prepared, digest):
    every = points(tmp_path / "count", prepared, tmp_path / "log")
    assert len(every) > 30
    for number, point in enumerate(every[:: len(every) // 20 + 1]):
        check_kill(tmp_path / str(number), prepared, digest, point)


@needs_strace
def test_no_space_at_a_few_system_calls(tmp_path, prepared, digest):
    every = points(tmp_path / "count", prepared, tmp_path / "log")
    wanted = [p for p in every if p[0] in ("mkdir", "rename", "fsync", "pwrite64")]
    for number, point in enumerate(wanted[:: len(wanted) // 5 + 1]):
        check_full(tmp_path / str(number), prepared, digest, point)


@needs_strace
@pytest.mark.soak
def test_kill_9_and_no_space_at_every_system_call(tmp_path, prepared, digest):
    for number, point in enumerate(points(tmp_path / "count", prepared, tmp_path / "log")):
        check_kill(tmp_path / f"kill{number}", prepared, digest, point)
        if point[0] != "flock":
            check_full(tmp_path / f"full{number}", prepared, digest, point)


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_uses_is_kept(tmp_path):
    store = Store(tmp_path)
    child = os.fork()
    if child == 0:
        with store.staging("merge", "dead") as staged:
            (staged / "half").write_text("x")
            os._exit(0)
    os.waitpid(child, 0)
    assert [name.split("-")[1] for name in staged_names(tmp_path) if not name.endswith("lock")] == [
        "dead"
    ]
    with store.staging("merge", "living") as outer:
        assert store.reclaim() == (), "the first start had removed the dead one's"
        with store.staging("merge", "living") as inner:
            assert outer.is_dir()
            assert inner != outer
        assert outer.is_dir()
    assert staged_names(tmp_path) == []
