"""Small files: atomic writes, the lock file, and what the packages import."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from additive.artifacts.atomic import write_json, write_text
from additive.artifacts.lockfile import changes, read_lockfile, write_lockfile
from additive.errors import IntegrityError, ResourceError

INPUTS = {
    "data": {"domains/math/train.jsonl": "a" * 64},
    "base": {"id": "tiny", "weights": "b" * 64},
}


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_a_written_file_has_its_text_and_the_mode_of_the_umask(tmp_path, umask, mode):
    path, before = tmp_path / "deep" / "x.txt", os.umask(umask)
    try:
        write_text(path, "älter\n")
        write_text(path, "neu\n")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"neu\n"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ResourceError, match="no space left") as caught:
        write_text(path, "new")
    assert caught.value.exit_code == 4
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_short_writes_are_finished(tmp_path, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:3], at))
    write_text(tmp_path / "x", "0123456789" * 9)
    assert (tmp_path / "x").read_text() == "0123456789" * 9


def test_the_leftover_of_a_killed_writer_is_removed_by_the_next(tmp_path):
    child = os.fork()
    if child == 0:
        os.replace = lambda *_: os._exit(0)
        write_text(tmp_path / "x", "half")
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 1
    write_text(tmp_path / "x", "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_json_has_one_text(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": {"d": [], "c": "é"}})
    write_json(tmp_path / "b", {"a": {"c": "é", "d": []}, "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "c", float("nan"))


def test_the_lock_file_is_sorted_and_written_only_when_it_changes(tmp_path):
    path = tmp_path / "additive.lock"
    assert read_lockfile(path) == {}
    assert write_lockfile(path, INPUTS) is True
    before = path.stat().st_ino
    assert write_lockfile(path, dict(reversed(INPUTS.items()))) is False
    assert path.stat().st_ino == before
    assert read_lockfile(path) == INPUTS
    lines = path.read_text().splitlines()
    assert lines.index('  "base": {') < lines.index('  "data": {')


names = st.text(min_size=1, max_size=12).filter(
    lambda text: text != "schema" and text.isprintable()
)
inputs = st.dictionaries(names, st.dictionaries(names, st.text("0123456789abcdef", max_size=64)))


@settings(max_examples=60, deadline=None)
@given(first=inputs, second=inputs)
def test_lock_files_come_back_as_they_were_and_changes_are_what_changed(
    tmp_path_factory, first, second
):
    path = tmp_path_factory.mktemp("lock") / "additive.lock"
    write_lockfile(path, first)
    assert read_lockfile(path) == first
    assert write_lockfile(path, read_lockfile(path)) is False
    assert changes(first, first) == ()
    flat = [{(s, n): v for s, e in side.items() for n, v in e.items()} for side in (first, second)]
    differing = {key for key in flat[0] | flat[1] if flat[0].get(key) != flat[1].get(key)}
    assert len(changes(first, second)) == len({f"{s} {n}" for s, n in differing})


@pytest.mark.parametrize(
    "text",
    [
        "<<<<<<< ours\n{}\n",
        "[]",
        "{}",
        '{"schema": "additive.lock/2"}',
        '{"schema": "additive.lock/1", "data": 3}',
        '{"schema": "additive.lock/1", "data": {"a": 3}}',
        '{"schema": "additive.lock/1", "data": {}, "data": {}}',
    ],
)
def test_a_damaged_lock_file_is_refused(tmp_path, text):
    (tmp_path / "additive.lock").write_text(text)
    with pytest.raises(IntegrityError, match=r"additive\.lock"):
        read_lockfile(tmp_path / "additive.lock")


def test_nothing_of_store_and_tensors_imports_torch():
    modules = (
        "additive.tensors.reader, additive.tensors.writer, additive.tensors.reader,"
        "additive.tensors.reader, additive.artifacts.store, additive.artifacts.locks,"
        "additive.artifacts.lockfile, additive.artifacts.content, additive.artifacts.verify"
    )
    heavy = "{'torch', 'transformers', 'peft', 'safetensors', 'numpy'}"
    code = f"import sys, {modules}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
