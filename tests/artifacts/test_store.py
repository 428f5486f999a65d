from __future__ import annotations

import os
import stat

import pytest
import torch

from additive.artifacts.store import Store
from additive.artifacts.verify import verify_directory
from additive.errors import IntegrityError, SecurityError, UnknownName, UsageError
from additive.tensors.writer import write_file
from tests.artifacts.making import freeze_one, some_draft, write_adapter


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_what_was_frozen_comes_back(store):
    artifact = freeze_one(store)
    again = store.resolve("math")
    assert again == artifact
    assert again.reference == f"math@{artifact.digest[:8]}"
    assert again.path.parts[-3:] == ("artifacts", "math", artifact.digest)
    draft, manifest = some_draft(), again.manifest
    for field in type(draft).model_fields:
        if field != "snapshots":
            assert getattr(manifest, field) == getattr(draft, field), field
    assert verify_directory(again.path) == ()
    assert list((store.root / "staging").glob("*-*")) == []


def test_the_same_bytes_are_the_same_artifact_and_other_bytes_a_new_version(store):
    first, second, again = freeze_one(store), freeze_one(store, 2.0), freeze_one(store)
    assert first == again
    assert first.digest != second.digest
    assert [a.digest for a in store.versions("math")] == [second.digest, first.digest]
    assert store.resolve("math") == first, "freezing again makes it the newest"
    assert store.resolve(f"math@{second.digest[:6]}") == second


def test_the_newest_wins_whatever_the_clock_and_the_digests_say(store):
    frozen = [freeze_one(store, float(value)) for value in range(1, 7)]
    for number, artifact in enumerate(frozen):
        os.utime(artifact.path, (1000 - number, 1000 - number))
    assert store.versions("math") == tuple(frozen)
    assert store.resolve("math") == frozen[-1]


def test_names_and_prefixes_that_mean_nothing_or_too_much(store):
    with pytest.raises(UnknownName, match="unknown artifact 'math'"):
        store.resolve("math")
    digests = [freeze_one(store, float(value)).digest for value in range(1, 4)]
    with pytest.raises(UnknownName, match="did you mean 'math'"):
        store.resolve("maht")
    with pytest.raises(UnknownName, match="version of math"):
        store.resolve("math@" + "0" * 64)
    shared = store.root / "artifacts" / "math" / (digests[0][:10] + "0" * 54)
    shared.mkdir()
    with pytest.raises(UsageError, match="ambiguous"):
        store.resolve(f"math@{digests[0][:8]}")
    with pytest.raises(UsageError):
        store.versions("../math")


def test_snapshots_are_found_by_the_nearest_fraction(store):
    artifact = freeze_one(store)
    assert artifact.snapshot_path(None) == artifact.snapshot_path(1.0) == artifact.path
    assert artifact.snapshot_path(0.5) == artifact.path / "snapshots" / "0.5"
    assert artifact.snapshot_path(0.45) == artifact.path / "snapshots" / "0.5"
    with pytest.raises(UnknownName, match="snapshot"):
        artifact.snapshot_path(0.25)
    digest = artifact.manifest.snapshots[0].digest
    assert digest not in (artifact.manifest.weights, "")


def test_sidecars_never_touch_the_artifact(store):
    artifact = freeze_one(store)
    (store.sidecar(artifact.digest) / "grams.json").write_text("{}")
    assert verify_directory(artifact.path) == ()
    with pytest.raises(UsageError):
        store.sidecar("../x")


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o002])
def test_frozen_files_are_read_only_and_follow_the_umask(store, umask):
    before = os.umask(umask)
    try:
        artifact = freeze_one(store)
    finally:
        os.umask(before)
    for path in [artifact.path, *artifact.path.rglob("*")]:
        wanted = 0o777 & ~umask if path.is_dir() else 0o444 & ~umask
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


@pytest.mark.parametrize(
    "name", ["training_args.bin", "optimizer.pt", "rng.pth", "x.ckpt", "x.pkl", "X.BIN", "a.npy"]
)
def test_pickles_are_refused_by_name(store, name):
    with store.staging("specialist", "math") as staged:
        write_adapter(staged)
        (staged / name).write_bytes(b"anything")
        with pytest.raises(SecurityError, match="may be a pickle"):
            store.freeze(staged, some_draft(snapshots=()))
    assert store.all() == ()


@pytest.mark.parametrize("content", [b"\x80\x04\x95hello.", b"PK\x03\x04rest"])
def test_pickles_are_refused_by_content(store, content):
    with store.staging("specialist", "math") as staged:
        write_adapter(staged)
        (staged / "notes.txt").write_bytes(content)
        with pytest.raises(SecurityError, match="by content"):
            store.freeze(staged, some_draft(snapshots=()))


@pytest.mark.parametrize("kind", ["link", "directory link", "pipe", "code", "hidden", "control"])
def test_other_strangers_are_refused(store, tmp_path, kind):
    with store.staging("specialist", "math") as staged:
        write_adapter(staged)
        if kind == "link":
            (staged / "notes.txt").symlink_to("/etc/hostname")
        elif kind == "directory link":
            (staged / "more").symlink_to(tmp_path)
        elif kind == "pipe":
            os.mkfifo(staged / "notes.txt")
        else:
            name = {"code": "modeling.py", "hidden": ".notes.txt", "control": "a\x1b[2J.txt"}[kind]
            (staged / name).write_text("x")
        with pytest.raises(SecurityError):
            store.freeze(staged, some_draft(snapshots=()))


def test_weights_that_are_not_numbers_or_not_there_are_refused(store):
    with store.staging("specialist", "math") as staged:
        write_adapter(staged, float("nan"))
        with pytest.raises(IntegrityError, match=r"lora_B.*NaN"):
            store.freeze(staged, some_draft(snapshots=()))
        write_adapter(staged)
        with pytest.raises(IntegrityError, match="snapshot is missing"):
            store.freeze(staged, some_draft())
        (staged / "adapter_model.safetensors").unlink()
        with pytest.raises(IntegrityError, match="adapter_model"):
            store.freeze(staged, some_draft(snapshots=()))
        write_file(staged / "model.safetensors", {"w": torch.ones(1)})
        (staged / "config.json").write_text("{}")
        with pytest.raises(IntegrityError, match="exactly one"):
            store.freeze(staged, some_draft(snapshots=()))


def test_a_damaged_artifact_is_replaced_when_it_is_made_again(store):
    artifact = freeze_one(store)
    path = artifact.path / "adapter_config.json"
    path.chmod(0o644)
    path.write_text("{}")
    assert freeze_one(store) == artifact
    assert verify_directory(artifact.path) == ()
    assert [name.split("-")[0] for name in store.reclaim()] == ["damaged"]
