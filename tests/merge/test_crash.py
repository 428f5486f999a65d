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
from tests.artifacts.faults import STRACE, SYSCALLS, at_call, needs_strace
from tests.artifacts.freezing import check_clean, staged_names
from tests.merge.merging import DIED, merge_prepared, merge_until, prepare

SCORE = 20
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
    """Every (system call, n) of an undisturbed merging process, from the first in the store on."""
    run(root, prepared, "-y", "-o", str(log), "-e", f"trace={SYSCALLS}")
    counts, found = Counter[str](), []
    for line in log.read_text().splitlines():
        name = re.match(r"\d+ +(\w+)\(", line)
        if name:
            counts[name[1]] += 1
            if str(root) in line:
                found.append((name[1], counts[name[1]]))
    return found


@needs_strace
@pytest.mark.soak
def test_kill_9_and_no_space_at_every_system_call(tmp_path, prepared, digest):
    every = points(tmp_path / "count", prepared, tmp_path / "log")
    assert len(every) > 30
    for number, (name, n) in enumerate(every):
        place = tmp_path / f"kill{number}"
        done = run(place, prepared, "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={n}")
        assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL, 0), done.stderr
        check_clean(place, digest)
        go_on(place, prepared, digest)
        if name == "flock":
            continue
        place = tmp_path / f"full{number}"
        done = run(place, prepared, "-o", "/dev/null", "-e", f"inject={name}:error=ENOSPC:when={n}")
        assert done.returncode in (0, 4), done.stderr
        check_clean(place, digest)
        go_on(place, prepared, digest)
