"""Death, an interrupt and a full disk at steps of a merge: no artifact or a whole one, and the same
command then gives the digest of an undisturbed run.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from additive.errors import ResourceError
from additive.merge.engine import execute
from additive.merge.plan import plan
from tests.artifacts.faults import STRACE, SYSCALLS, at_call, needs_strace
from tests.artifacts.freezing import check_clean, staged_names
from tests.merge.making import recipe, source
from tests.merge.merging import DIED, merge_prepared, merge_until, prepare

SCORE = 20
TRACED = f"{SYSCALLS},write,sendfile,fallocate"
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["tests.merge.merging"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def digest(prepared, tmp_path_factory):
    return merge_prepared(tmp_path_factory.mktemp("undisturbed"), prepared).digest


@pytest.fixture(scope="module")
def calls(prepared, digest, tmp_path_factory):
    """How many calls of a merge change the disk."""
    with at_call(-1, lambda: None) as counted:
        assert merge_prepared(tmp_path_factory.mktemp("count"), prepared).digest == digest
    assert {"mkdir", "fsync", "open", "posix_fallocate", "pwrite", "replace"} <= counted.keys()
    return counted.total()


def spread(last, count=SCORE):
    return sorted({1 + i * (last - 1) // (count - 1) for i in range(count)})


def go_on(root, prepared, digest):
    """The same command again: the digest of an undisturbed run, and nothing left of the first."""
    assert merge_prepared(root, prepared).digest == digest
    assert check_clean(root, digest) == 1
    assert staged_names(root) == []


def die_at(number, root, prepared):
    """The exit code of a process that merges and dies at the n-th call.

    It comes from a server of processes: a fork of this one, which has threads, may hang.
    """
    child = CHILDREN.Process(target=merge_until, args=(number, root, prepared))
    child.start()
    child.join()
    return child.exitcode


def check_deaths(numbers, root, prepared, digest):
    found = Counter[int]()
    for number in numbers:
        place = root / f"died{number}"
        assert die_at(number, place, prepared) == DIED
        found[check_clean(place, digest)] += 1
        go_on(place, prepared, digest)
    return found


def check_full_disks(numbers, root, prepared, digest):
    def fail():
        code = (errno.ENOSPC, errno.EDQUOT, errno.EIO)[number % 3]
        raise OSError(code, os.strerror(code))

    for number in numbers:
        place = root / f"full{number}"
        with suppress(ResourceError), at_call(number, fail):
            merge_prepared(place, prepared)
        check_clean(place, digest)
        go_on(place, prepared, digest)


def test_death_at_a_score_of_calls(tmp_path, prepared, digest, calls):
    found = check_deaths(spread(calls), tmp_path, prepared, digest)
    assert found[0] > SCORE // 2


def test_a_full_or_failing_disk_at_a_score_of_calls(tmp_path, prepared, digest, calls):
    check_full_disks(spread(calls), tmp_path, prepared, digest)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_full_disk_under_a_small_file_is_an_error_with_a_name(tmp_path, prepared, name):
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(ResourceError, match=f"{name}: cannot be written or read: no space left"):
        execute(plan(recipe(source(prepared / "s1")), prepared / "base"), tmp_path)


def test_all_is_on_disk_before_the_rename_that_shows_it_and_so_is_its_place_after(
    tmp_path, prepared, monkeypatch
):
    """A process that dies cannot tell; a machine that loses power can."""
    fsync, rename = os.fsync, os.rename
    synced: set[int] = set()
    unsynced: list[str] = []

    def recorded(descriptor):
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def checked(staged, target):
        below = [Path(staged), *Path(staged).rglob("*")]
        unsynced.extend(path.name for path in below if path.stat().st_ino not in synced)
        synced.clear()
        rename(staged, target)

    monkeypatch.setattr(os, "fsync", recorded)
    monkeypatch.setattr(os, "rename", checked)
    place = merge_prepared(tmp_path, prepared).path
    assert unsynced == []
    assert {place.parent.stat().st_ino, place.parent.parent.stat().st_ino} <= synced


def test_an_interrupt_cleans_up_behind_itself(tmp_path, prepared, digest, calls):
    def interrupt():
        raise KeyboardInterrupt

    for number in spread(calls, SCORE // 4):
        place = tmp_path / str(number)
        with pytest.raises(KeyboardInterrupt), at_call(number, interrupt):
            merge_prepared(place, prepared)
        check_clean(place, digest)
        go_on(place, prepared, digest)


def test_threads_change_no_bit(tmp_path, prepared, digest):
    assert merge_prepared(tmp_path, prepared, workers=4).digest == digest


@pytest.mark.soak
def test_death_and_a_full_disk_at_every_call(tmp_path, prepared, digest, calls):
    check_deaths(range(1, calls + 1), tmp_path, prepared, digest)
    check_full_disks(range(1, calls + 1), tmp_path, prepared, digest)


def run(root, prepared, *tracing):
    traced = [STRACE, "-f", "--seccomp-bpf", "-qq", *tracing] if STRACE else []
    command = [*traced, sys.executable, "-m", "tests.merge.merging", str(root), str(prepared)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def points(root, prepared, log):
    """Every (system call, n) of an undisturbed merging process that names the store.

    strace counts the calls of each thread apart, and so does this.
    """
    run(root, prepared, "-y", "-o", str(log), "-e", f"trace={TRACED}")
    counts, found = Counter[tuple[str, str]](), {}
    for line in log.read_text().splitlines():
        thread, name = line.split(maxsplit=1)
        called = re.match(r"(\w+)\(", name)
        if called:
            counts[thread, called[1]] += 1
            if str(root) in line:
                found[called[1], counts[thread, called[1]]] = None
    return list(found)


def check_injected(root, prepared, digest, point):
    """Killed at this system call, and starved at it: nothing or the whole, then the same digest."""
    name, n = point
    quietly = ("-o", "/dev/null", "-e")
    killed, full = root / f"kill-{name}{n}", root / f"full-{name}{n}"
    done = run(killed, prepared, *quietly, f"inject={name}:signal=KILL:when={n}")
    assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
    check_clean(killed, digest)
    go_on(killed, prepared, digest)
    if name == "flock":
        return
    done = run(full, prepared, *quietly, f"inject={name}:error=ENOSPC:when={n}")
    assert done.returncode in (0, 4), done.stderr
    assert done.returncode == 0 or "no space left" in done.stderr
    check_clean(full, digest)
    go_on(full, prepared, digest)


@needs_strace
def test_kill_9_and_no_space_at_a_system_call_of_each_kind(tmp_path, prepared, digest):
    every = points(tmp_path / "count", prepared, tmp_path / "log")
    kinds = {name: [point for point in every if point[0] == name] for name, _ in every}
    assert {"write", "sendfile", "pwrite64", "fallocate", "fsync", "rename"} <= kinds.keys()
    for same in kinds.values():
        check_injected(tmp_path, prepared, digest, same[len(same) // 2])


@needs_strace
@pytest.mark.soak
def test_kill_9_and_no_space_at_every_system_call(tmp_path, prepared, digest):
    every = points(tmp_path / "count", prepared, tmp_path / "log")
    assert len(every) > 30
    for point in every:
        check_injected(tmp_path, prepared, digest, point)
