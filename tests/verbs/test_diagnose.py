"""A diagnosis is one document, the same for any order of names, and found again by its merge."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys

import pytest

from additive.artifacts.manifest import ManifestDraft, Snapshot
from additive.cli.main import run
from additive.errors import UnknownName
from additive.merge.core import Triangles, keep_triangles, read_triangles
from additive.verbs.candidates import candidates
from additive.verbs.diagnose import diagnose_sources
from additive.verbs.merge import build_merge
from additive.verbs.merge_request import request_merge
from additive.verbs.report import known_diagnosis
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace
from tests.merge import files


@pytest.fixture
def workspace(tmp_path, capsys):
    files.write_base(tmp_path / "base")
    assert run(["-C", str(tmp_path), "init", "work", "--base", "base", "--domain", "x", "-q"]) == 0
    root = tmp_path / "work"
    for number, name in enumerate(("math", "code", "sql")):
        folder = files.write_lora(tmp_path / name, number, size=0.03)
        assert run(["-C", str(root), "adopt", str(folder), "--as", name, "-q"]) == 0
    capsys.readouterr()
    return Workspace(root)


def test_every_pair_and_layer_is_in_the_document(workspace, capsys):
    document = diagnose_sources(workspace, ["math", "code", "sql"])
    assert document["schema"] == "additive.diagnose/1"
    assert len(document["pairs"]) == 3
    for pair in (*document["pairs"], *document["parameters"][0]["pairs"]):
        assert set(pair) == {
            *("first", "second", "cosine", "left", "right"),
            *("conflicts", "interference", "unrelated"),
        }
    assert [layer["layer"] for layer in document["layers"]] == ["0", "1"]
    assert len(document["parameters"]) == len(files.ADAPTED)
    assert all(found["sentence"] and found["help"] for found in document["findings"])
    assert diagnose_sources(workspace, ["sql", "math", "code"]) == document
    assert run(["-C", str(workspace.root), "diagnose", "math", "code", "sql", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert run(["-C", str(workspace.root), "diagnose", "math", "code"]) == 0
    said = capsys.readouterr().out
    assert "largest overlap" in said
    assert "interference" in said.partition("layer")[0]
    assert "\n- " in said


def test_a_disk_that_keeps_nothing_is_no_reason_to_say_nothing(workspace):
    def files_stay_small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    said = subprocess.run(
        [sys.executable, "-m", "additive", "-C", str(workspace.root), "diagnose", "math", "code"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=files_stay_small,
    )
    assert said.returncode == 0, said.stderr
    assert "largest overlap" in said.stdout
    assert not list(workspace.cache.glob("diagnoses/*.json"))


def test_one_source_has_norms_and_no_pairs(workspace):
    document = diagnose_sources(workspace, ["math"])
    assert document["pairs"] == []
    assert [found["kind"] for found in document["findings"]] == ["none"]
    assert document["sources"][0]["norm"] > 0


def test_factors_are_decomposed_once_for_candidates_and_diagnoses(workspace):
    with candidates(workspace, ["math", "code", "sql"]):
        pass
    (left,) = workspace.store.root.glob("sidecars/*/triangles-*.safetensors")
    before = left.stat()
    document = diagnose_sources(workspace, ["sql", "code", "math"])
    assert list(workspace.store.root.glob("sidecars/*/triangles-*.safetensors")) == [left]
    assert left.stat().st_ino == before.st_ino
    keep_triangles(left, {n: Triangles(2 * t.B, +t.A) for n, t in read_triangles(left).items()})
    norms = diagnose_sources(workspace, ["math", "code", "sql"])["norms"]
    assert norms == pytest.approx({name: 2 * norm for name, norm in document["norms"].items()})


@pytest.mark.parametrize("verb", ["diagnose", "merge"])
@pytest.mark.parametrize("names", [("math", "math"), ("math", "math#1"), ("",)])
def test_what_names_no_two_specialists_is_a_mistake_of_the_command_line(
    workspace, capsys, verb, names
):
    assert run(["-C", str(workspace.root), verb, *names]) == 2
    assert "error: " in capsys.readouterr().err


def test_a_typo_names_the_nearest_domain(workspace):
    with pytest.raises(UnknownName, match="did you mean 'math'"):
        diagnose_sources(workspace, ["maht"])


def test_the_report_of_a_merge_finds_the_diagnosis_of_its_sources(workspace):
    base = base_identity(workspace)
    request = request_merge(workspace, ["math", "code"], {"scale": 0.7}, base)
    merge = build_merge(workspace, request).artifact.manifest
    assert known_diagnosis(workspace, merge) is None
    diagnose_sources(workspace, ["math", "sql"])
    assert known_diagnosis(workspace, merge) is None
    document = diagnose_sources(workspace, ["code", "math"])
    assert known_diagnosis(workspace, merge) == document


def test_a_snapshot_is_diagnosed_apart_from_its_plateau(workspace):
    base = base_identity(workspace)
    with workspace.store.staging("specialist", "law") as staged:
        files.write_lora(staged, 7)
        files.write_lora(staged / "snapshots" / "0.5", 8)
        half = Snapshot(fraction=0.5, step=10, path="snapshots/0.5")
        draft = ManifestDraft(kind="specialist", name="law", base=base, snapshots=(half,))
        workspace.store.freeze(staged, draft)
    merges = {
        name: build_merge(
            workspace, request_merge(workspace, [name, "math"], {"scale": 0.7}, base)
        ).artifact.manifest
        for name in ("law", "law#0.5")
    }
    document = diagnose_sources(workspace, ["math", "law#0.5"])
    assert known_diagnosis(workspace, merges["law#0.5"]) == document
    assert known_diagnosis(workspace, merges["law"]) is None


def test_a_diagnosis_needs_no_room_for_a_merge(workspace, monkeypatch):
    usage = shutil.disk_usage(workspace.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert diagnose_sources(workspace, ["math", "code"])["findings"]
