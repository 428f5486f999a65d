"""Adopting: refused before anything is written, known by digest, over nobody's work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from additive.artifacts.verify import verify_directory
from additive.errors import (
    AdditiveError,
    CompatibilityError,
    IntegrityError,
    ResourceError,
    SpecError,
    UsageError,
)
from additive.verbs.init import make_workspace
from additive.verbs.merge_request import NO_ROWS, request_merge
from additive.verbs.train import train_domain
from additive.workspace.bases import find_folder
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace
from tests.merge import files
from tests.verbs.adopting import adopt_into, write_questions


def _tree(root: Path) -> dict[str, bytes]:
    """Every file of a workspace, without locks and caches."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not {"locks", "cache", "staging"} & set(path.parts)
    }


def test_it_is_frozen_without_debris_and_merges_like_a_trained_one(workspace, lora):
    (lora / "optimizer.pt").write_bytes(b"\x80\x04.")
    adopted = adopt_into(workspace, lora)
    artifact = adopted.artifact
    assert verify_directory(artifact.path) == ()
    assert sorted(p.name for p in artifact.path.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "manifest.json",
    ]  # fmt: skip
    assert artifact.manifest.base == base_identity(workspace)
    assert adopted.base_check.state == "claimed"
    fresh = Workspace(workspace.root)
    assert fresh.domain("math").adopted
    assert not fresh.data_files("math", "train")
    request = request_merge(fresh, ["math"], {}, base_identity(fresh))
    assert (request.recipe.scale, request.notes) == (1.0, (NO_ROWS,))


def test_the_frozen_config_names_no_path_and_no_class(workspace, lora):
    path = lora / "adapter_config.json"
    secret = {"base_model_name_or_path": "/home/me/x", "auto_mapping": {"parent_library": "os"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | secret))
    frozen = adopt_into(workspace, lora).artifact.path / "adapter_config.json"
    config = json.loads(frozen.read_text())
    assert (config["base_model_name_or_path"], config["auto_mapping"]) == ("base", None)


def test_the_same_folder_is_recognised_and_a_changed_one_is_a_new_version(
    workspace, lora, tmp_path
):
    first = adopt_into(workspace, lora)
    again = adopt_into(workspace, lora)
    assert (first.reused, again.reused) == (False, True)
    assert again.artifact.digest == first.artifact.digest
    other = adopt_into(workspace, files.write_lora(tmp_path / "other", 2, size=0.03))
    assert other.before == first.artifact.reference
    back = adopt_into(workspace, lora)
    assert not back.reused
    assert back.artifact.digest == first.artifact.digest
    assert Workspace(workspace.root).store.resolve("math").digest == first.artifact.digest
    assert len(workspace.store.versions("math")) == 2


def test_the_same_folder_on_another_base_is_another_version(workspace, lora, tmp_path):
    first = adopt_into(workspace, lora)
    files.write_base(tmp_path / "base", seed=5)
    (workspace.root / "additive.lock").unlink()
    again = adopt_into(workspace, lora)
    assert not again.reused
    assert again.artifact.manifest.base == base_identity(Workspace(workspace.root))
    assert again.artifact.digest != first.artifact.digest


def test_a_full_disk_is_said_before_anything_is_written(workspace, lora, monkeypatch):
    before, usage = _tree(workspace.root), shutil.disk_usage(workspace.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ResourceError, match=r"disk has 1.0 kB free; the copy takes"):
        adopt_into(workspace, lora)
    assert _tree(workspace.root) == before


def test_what_is_refused_leaves_everything_as_it_was(workspace, lora, tmp_path):
    before = _tree(workspace.root)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "adapter_config.json").write_text((lora / "adapter_config.json").read_text())
    good = write_questions(tmp_path / "q.jsonl", [{"prompt": "p", "answer": 1}])
    bad = write_questions(tmp_path / "bad.jsonl", [{"prompt": "p"}])
    attempts = [
        (broken, {}),
        (lora, {"name": "My Math"}),
        (lora, {"suite": bad}),
        (lora, {"suite": good, "grader": "numric"}),
        (lora, {"suite": good, "grader": "code"}),
        (lora, {"suite": tmp_path / "none.jsonl"}),
    ]
    for folder, options in attempts:
        with pytest.raises(AdditiveError):
            adopt_into(workspace, folder, **options)
        assert _tree(workspace.root) == before


def test_a_typo_in_the_path_names_the_folder_beside_it(workspace, lora):
    with pytest.raises(UsageError) as caught:
        find_folder("../lroa", workspace.root)
    assert "there is no such directory; did you mean 'lora'?" in str(caught.value)
    with pytest.raises(ResourceError, match="no model of that id is in the local cache"):
        find_folder("some-org/some-name", workspace.root)


def test_a_model_in_the_hubs_local_cache_is_found(tmp_path, monkeypatch):
    import huggingface_hub.constants as constants

    home = tmp_path / "models--org--math-lora"
    files.write_lora(home / "snapshots" / ("c0ffee" + "0" * 34), 1)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("c0ffee" + "0" * 34)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    found = find_folder("org/math-lora", tmp_path / "elsewhere")
    assert (found.id, found.revision) == ("org/math-lora", "c0ffee" + "0" * 34)
    assert (found.directory / "adapter_config.json").is_file()


def test_a_scaffold_is_taken_over_and_a_domain_with_rows_is_not(workspace, lora):
    directory = workspace.domain_directory("math")
    row = '{"prompt": "p", "completion": "c"}\n'
    (directory / "train.jsonl").write_text(row)
    with pytest.raises(UsageError, match="name 'math' is taken by domains/math, which is trained"):
        adopt_into(workspace, lora)
    assert (directory / "train.jsonl").read_text() == row
    (directory / "train.jsonl").write_text("")
    adopt_into(workspace, lora)
    assert sorted(path.name for path in directory.iterdir()) == ["README.md", "domain.yaml"]
    (directory / "domain.yaml").write_text("version: 1\nadopted: true\ndescription: mine\n")
    adopt_into(workspace, lora)
    assert Workspace(workspace.root).domain("math").description == "mine"


def test_an_artifact_of_another_workspace_is_known_by_digest(workspace, lora, tmp_path):
    theirs = adopt_into(workspace, lora).artifact.path
    mine = make_workspace(tmp_path / "mine", "base", ("law",), start=tmp_path)
    assert adopt_into(mine, theirs, "law").base_check.state == "by digest"
    files.write_base(tmp_path / "base2", seed=5)
    foreign = make_workspace(tmp_path / "foreign", "base2", ("law",), start=tmp_path)
    with pytest.raises(CompatibilityError, match=r"was frozen on .*; the workspace's base is"):
        adopt_into(foreign, theirs, "law")


def test_a_damaged_artifact_of_another_workspace_is_refused(workspace, lora, tmp_path):
    theirs = adopt_into(workspace, lora).artifact.path
    weights = theirs / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    mine = make_workspace(tmp_path / "mine", "base", ("law",), start=tmp_path)
    with pytest.raises(IntegrityError, match=r"adapter_model\.safetensors"):
        adopt_into(mine, theirs, "law")


def test_an_adopted_domain_is_not_trained_and_may_not_say_how(workspace, lora):
    adopt_into(workspace, lora)
    with pytest.raises(
        UsageError, match="domain 'math' is adopted; only a domain with its own rows"
    ):
        train_domain(Workspace(workspace.root), "math")
    path = workspace.domain_directory("math") / "domain.yaml"
    path.write_text("version: 1\nadopted: true\nadapt: {rank: 4}\n")
    with pytest.raises(
        SpecError, match="adapt cannot be used in an adopted domain: it is not trained here"
    ):
        Workspace(workspace.root).domain("math")
