"""Several processes on one store, one name, one lock."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from additive.artifacts import store
from additive.artifacts.locks import lock, read_holder
from additive.artifacts.store import Store
from additive.artifacts.verify import verify_directory
from additive.errors import LockedError
from tests.artifacts.freezing import check_clean, freeze_prepared, staged_names
from tests.artifacts.making import write_adapter

HOLD = """
import sys, time
from pathlib import Path
from additive.artifacts.locks import lock
with lock(Path(sys.argv[1]), "domain math"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def prepare(directory: Path, value: float = 1.0) -> Path:
    write_adapter(directory, value)
    write_adapter(directory / "snapshots" / "0.5", value / 2)
    return directory


def start_all(root: Path, prepared: list[Path]) -> list[str]:
    """Children that all begin to freeze at the same moment; gives the digests they end with."""
    begin, waiting = os.pipe(), []
    for number, directory in enumerate(prepared):
        child = os.fork()
        if child == 0:
            os.close(begin[1])
            os.read(begin[0], 1)  # ends for all when the parent closes its side
            digest = freeze_prepared(root, directory).digest
            (root.parent / f"{number}.digest").write_text(digest)
            os._exit(0)
        waiting.append(child)
    os.close(begin[1])
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in waiting]
    os.close(begin[0])
    assert codes == [0] * len(prepared)
    return [(root.parent / f"{n}.digest").read_text() for n in range(len(prepared))]


@pytest.mark.parametrize("attempt", range(3))
def test_freezers_of_the_same_artifact_all_end_with_the_one(tmp_path, attempt):
    prepared = prepare(tmp_path / "prepared")
    digests = start_all(tmp_path / "store", [prepared] * 4)
    assert len(set(digests)) == 1
    assert check_clean(tmp_path / "store", digests[0]) == 1
    assert staged_names(tmp_path / "store") == []


def test_freezers_of_different_bytes_all_get_their_version(tmp_path):
    prepared = [prepare(tmp_path / str(value), float(value)) for value in range(1, 5)]
    digests = start_all(tmp_path / "store", prepared)
    store = Store(tmp_path / "store")
    assert {a.digest for a in store.versions("math")} == set(digests)
    assert len(set(digests)) == 4
    assert all(verify_directory(a.path) == () for a in store.all())
    assert store.resolve("math") == Store(tmp_path / "store").resolve("math")


def test_who_comes_second_at_the_last_moment_ends_with_the_first_ones(tmp_path, monkeypatch):
    prepared, root, rename = prepare(tmp_path / "prepared"), tmp_path / "store", os.rename

    def be_late(source: str, target: str) -> None:
        monkeypatch.setattr(os, "rename", rename)
        assert len(set(start_all(root, [prepared]))) == 1
        rename(source, target)

    monkeypatch.setattr(os, "rename", be_late)
    artifact = freeze_prepared(root, prepared)
    assert check_clean(root, artifact.digest) == 1
    assert staged_names(root) == []


def test_two_that_announce_the_same_artifact_at_once_both_go_on(tmp_path, monkeypatch):
    prepared, root = prepare(tmp_path / "prepared"), tmp_path / "store"
    create = store.create_synced

    def be_late(path: Path, data: bytes) -> int:
        monkeypatch.setattr(store, "create_synced", create)
        assert len(set(start_all(root, [prepared]))) == 1
        return create(path, data)

    monkeypatch.setattr(store, "create_synced", be_late)
    artifact = freeze_prepared(root, prepared)
    assert check_clean(root, artifact.digest) == 1
    assert staged_names(root) == []


@pytest.mark.soak
def test_many_rounds_of_many_freezers(tmp_path):
    prepared = [prepare(tmp_path / str(value), float(value)) for value in range(1, 5)]
    for number in range(50):
        root = tmp_path / f"round{number}" / "store"
        root.parent.mkdir()
        assert len(set(start_all(root, prepared * 2))) == 4


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_holds_the_lock(tmp_path):
    path = tmp_path / "locks" / "train-math.lock"
    process = holder(path, 60)
    try:
        with pytest.raises(LockedError) as caught, lock(path, "domain math"):
            pass
        message = str(caught.value)
        assert caught.value.exit_code == 5
        assert "domain math is held by" in message
        assert f"process {process.pid} on {os.uname().nodename} since 20" in message
        assert shlex.quote(str(path)) in message or "-c" in message
        assert caught.value.help
    finally:
        process.kill()
        process.wait()


def test_the_kernel_frees_the_lock_of_a_killed_process(tmp_path):
    path = tmp_path / "x.lock"
    process = holder(path, 60)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert read_holder(path) is not None, "a killed process cannot take its name off"
    with lock(path, "x"):
        found = read_holder(path)
        assert found is not None
        assert found.pid == os.getpid()
    assert read_holder(path) is None
    with lock(path, "x"):
        pass


def test_waiting_says_for_whom_and_ends_when_the_lock_is_free(tmp_path):
    path, told = tmp_path / "x.lock", []
    process = holder(path, 0.5)
    with lock(path, "x", wait_s=None, on_wait=told.append):
        assert process.wait() == 0
    assert len(told) == 1
    assert str(process.pid) in told[0]


def test_waiting_ends_at_its_limit(tmp_path):
    path = tmp_path / "x.lock"
    process = holder(path, 60)
    try:
        before = time.monotonic()
        with pytest.raises(LockedError), lock(path, "x", wait_s=0.3):
            pass
        assert time.monotonic() - before >= 0.3
    finally:
        process.kill()
        process.wait()


def test_a_lock_is_free_after_an_error_inside(tmp_path):
    path = tmp_path / "x.lock"
    with pytest.raises(KeyError), lock(path, "x"):
        raise KeyError
    with lock(path, "x"), pytest.raises(LockedError, match=str(os.getpid())), lock(path, "x"):
        pass
