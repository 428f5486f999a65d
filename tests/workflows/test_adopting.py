"""Adopting: refused before anything is written, known by digest, over nobody's work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from additive.artifacts.standing import keep_functional_check, standing_of
from additive.artifacts.verify import verify_directory
from additive.deltas.base import open_base
from additive.deltas.source import open_deltas
from additive.errors import (
    AdditiveError,
    CompatibilityError,
    IntegrityError,
    ResourceError,
    SpecError,
    UsageError,
)
from additive.types.results import ItemScore, SuiteResult
from additive.workflows.adopting import AdoptOptions, adopt
from additive.workflows.functional import judge
from additive.workflows.requests import NO_ROWS, MergeOptions, request_merge
from additive.workflows.training import train_domain
from additive.workspace import Workspace
from additive.workspace.folders import find_folder
from additive.workspace.inputs import base_identity
from additive.workspace.lint import lint
from additive.workspace.scaffold import make_workspace
from tests.merge import files


@pytest.fixture
def workspace(tmp_path):
    files.write_base(tmp_path / "base")
    return make_workspace(tmp_path / "work", "base", ("math",), start=tmp_path)


@pytest.fixture
def lora(tmp_path):
    return files.write_lora(tmp_path / "lora", 1, size=0.03)


def _adopt(workspace, folder, name="math", **options):
    found = find_folder(str(folder), workspace.root)
    return adopt(Workspace(workspace.root), found, name, AdoptOptions(checked=False, **options))


def _questions(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _tree(root: Path) -> dict[str, bytes]:
    """Every file of a workspace, without locks and caches."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not {"locks", "cache", "staging"} & set(path.parts)
    }


def test_it_is_frozen_without_debris_and_merges_like_a_trained_one(workspace, lora):
    (lora / "optimizer.pt").write_bytes(b"\x80\x04.")
    adopted = _adopt(workspace, lora)
    artifact = adopted.artifact
    assert verify_directory(artifact.path) == ()
    assert sorted(p.name for p in artifact.path.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "manifest.json",
    ]  # fmt: skip
    assert artifact.manifest.base == base_identity(workspace)
    assert adopted.standing.state == "claimed"
    fresh = Workspace(workspace.root)
    assert fresh.domain("math").adopted
    assert not fresh.data_files("math", "train")
    request = request_merge(fresh, ["math"], MergeOptions(), base_identity(fresh))
    assert (request.scale, request.notes) == (1.0, (NO_ROWS,))


@pytest.mark.parametrize("init", ["pissa", "olora", "corda", "lora_ga"])
def test_initial_factors_are_frozen_as_the_plain_lora_that_they_make(
    workspace, lora, tmp_path, init
):
    """The adopted domain has the delta of the folder; its own folder needs no other."""
    start = files.write_lora(lora / f"{init}_init", 7, size=0.03)
    config = files.read_json(lora, "adapter_config.json") | {"init_lora_weights": init}
    (lora / "adapter_config.json").write_text(json.dumps(config))
    base = open_base(tmp_path / "base")
    before = open_deltas(lora, base, "a", "0" * 64)
    adopted = _adopt(workspace, lora)
    artifact, folder = adopted.artifact, adopted.folder
    assert (folder.kept[-1], folder.left) == (f"{init}_init/adapter_model.safetensors", ())
    assert {p.name for p in artifact.path.iterdir() if p.is_dir()} == set()
    assert artifact.manifest.spec["adapt"]["init"] == init
    after = open_deltas(artifact.path, base, "a", "0" * 64)
    for name in before.parameters():
        torch.testing.assert_close(after.delta(name).dense(), before.delta(name).dense())
    assert _adopt(workspace, lora).reused
    files.write_lora(start, 8, size=0.03)
    assert _adopt(workspace, lora).artifact.digest != artifact.digest


def test_the_frozen_config_names_no_path_and_no_class(workspace, lora):
    path = lora / "adapter_config.json"
    secret = {"base_model_name_or_path": "/home/me/x", "auto_mapping": {"parent_library": "os"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | secret))
    frozen = _adopt(workspace, lora).artifact.path / "adapter_config.json"
    config = json.loads(frozen.read_text())
    assert (config["base_model_name_or_path"], config["auto_mapping"]) == ("base", None)


def test_the_same_folder_is_recognised_and_a_changed_one_is_a_new_version(
    workspace, lora, tmp_path
):
    first = _adopt(workspace, lora)
    again = _adopt(workspace, lora)
    assert (first.reused, again.reused) == (False, True)
    assert again.artifact.digest == first.artifact.digest
    other = _adopt(workspace, files.write_lora(tmp_path / "other", 2, size=0.03))
    assert other.before == first.artifact.reference
    back = _adopt(workspace, lora)
    assert not back.reused
    assert back.artifact.digest == first.artifact.digest
    assert Workspace(workspace.root).store.resolve("math").digest == first.artifact.digest
    assert len(workspace.store.versions("math")) == 2


def test_the_same_folder_on_another_base_is_another_version(workspace, lora, tmp_path):
    first = _adopt(workspace, lora)
    files.write_base(tmp_path / "base", seed=5)
    (workspace.root / "additive.lock").unlink()
    again = _adopt(workspace, lora)
    assert not again.reused
    assert again.artifact.manifest.base == base_identity(Workspace(workspace.root))
    assert again.artifact.digest != first.artifact.digest


def test_a_full_disk_is_said_before_anything_is_written(workspace, lora, monkeypatch):
    before, usage = _tree(workspace.root), shutil.disk_usage(workspace.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ResourceError, match=r"disk has 0.00 GB free when the copy takes"):
        _adopt(workspace, lora)
    assert _tree(workspace.root) == before


def test_what_is_refused_leaves_everything_as_it_was(workspace, lora, tmp_path):
    before = _tree(workspace.root)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "adapter_config.json").write_text((lora / "adapter_config.json").read_text())
    good = _questions(tmp_path / "q.jsonl", [{"prompt": "p", "answer": 1}])
    bad = _questions(tmp_path / "bad.jsonl", [{"prompt": "p"}])
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
            _adopt(workspace, folder, **options)
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
        _adopt(workspace, lora)
    assert (directory / "train.jsonl").read_text() == row
    (directory / "train.jsonl").write_text("")
    _adopt(workspace, lora)
    assert sorted(path.name for path in directory.iterdir()) == ["README.md", "domain.yaml"]
    (directory / "domain.yaml").write_text("version: 1\nadopted: true\ndescription: mine\n")
    _adopt(workspace, lora)
    assert Workspace(workspace.root).domain("math").description == "mine"


def test_questions_become_a_suite_that_lint_accepts(workspace, lora, tmp_path):
    rows = [{"prompt": f"{n}+1=", "answer": n + 1} for n in range(5)]
    _adopt(workspace, lora, suite=_questions(tmp_path / "q.jsonl", rows))
    fresh = Workspace(workspace.root)
    suite = fresh.suite("math-held-out")
    assert (suite.domain, suite.role, suite.tasks[0].grader) == ("math", "target", "numeric")
    report = lint(fresh)
    assert report.findings == ()
    assert report.counts["items"] == 5


@pytest.mark.parametrize("place", [{}, {"text_config": {}}])
def test_answers_get_a_quarter_of_what_the_base_can_read(workspace, lora, tmp_path, place):
    longest = {"max_position_embeddings": 192}
    said = dict.fromkeys(place, longest) or longest
    files.configure(tmp_path / "base", "config.json", **said)
    _adopt(workspace, lora, suite=_questions(tmp_path / "q.jsonl", [{"prompt": "p", "answer": 1}]))
    assert Workspace(workspace.root).suite("math-held-out").tasks[0].max_tokens == 48


def test_two_sides_of_questions_are_judged_apart(workspace, lora, tmp_path):
    rows = [{"prompt": "hurt", "side": "refuse"}, {"prompt": "help", "side": "comply"}]
    _adopt(workspace, lora, suite=_questions(tmp_path / "q.jsonl", rows))
    assert set(Workspace(workspace.root).suite("math-held-out").sides or ()) == {"refuse", "comply"}


def test_its_own_suite_is_replaced_and_a_persons_is_not(workspace, lora, tmp_path):
    first = _questions(tmp_path / "q1.jsonl", [{"prompt": "p", "answer": 1}])
    second = _questions(tmp_path / "q2.jsonl", [{"prompt": "q", "answer": 2}])
    third = _questions(tmp_path / "q3.jsonl", [{"prompt": "r", "answer": 3}])
    _adopt(workspace, lora, suite=first)
    _adopt(workspace, lora, suite=second)
    items = workspace.evals / "tasks" / "math-held-out.jsonl"
    assert '"prompt":"q"' in items.read_text()
    path = workspace.evals / "math-held-out.yaml"
    path.write_text(path.read_text().replace("# batch: 32", "batch: 8"))
    mine = path.read_text()
    _adopt(workspace, lora, suite=second)
    assert path.read_text() == mine
    with pytest.raises(UsageError, match="is there with other questions"):
        _adopt(workspace, lora, suite=third)
    assert path.read_text() == mine


def test_an_artifact_of_another_workspace_is_known_by_digest(workspace, lora, tmp_path):
    theirs = _adopt(workspace, lora).artifact.path
    mine = make_workspace(tmp_path / "mine", "base", ("law",), start=tmp_path)
    assert _adopt(mine, theirs, "law").standing.state == "by digest"
    files.write_base(tmp_path / "base2", seed=5)
    foreign = make_workspace(tmp_path / "foreign", "base2", ("law",), start=tmp_path)
    with pytest.raises(CompatibilityError, match=r"was frozen on .* when the workspace's base is"):
        _adopt(foreign, theirs, "law")


def test_a_damaged_artifact_of_another_workspace_is_refused(workspace, lora, tmp_path):
    theirs = _adopt(workspace, lora).artifact.path
    weights = theirs / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    mine = make_workspace(tmp_path / "mine", "base", ("law",), start=tmp_path)
    with pytest.raises(IntegrityError, match=r"adapter_model\.safetensors"):
        _adopt(mine, theirs, "law")


def test_an_adopted_domain_is_not_trained_and_may_not_say_how(workspace, lora):
    _adopt(workspace, lora)
    with pytest.raises(UsageError, match="domain 'math' is adopted when only a domain with rows"):
        train_domain(Workspace(workspace.root), "math")
    path = workspace.domain_directory("math") / "domain.yaml"
    path.write_text("version: 1\nadopted: true\nadapt: {rank: 4}\n")
    with pytest.raises(
        SpecError, match="adapt is given when an adopted domain is not trained here"
    ):
        Workspace(workspace.root).domain("math")


def test_suites_without_an_item_of_domains_that_are_not_merged_are_left_out(tmp_path):
    files.write_base(tmp_path / "base")
    made = make_workspace(tmp_path / "work", "base", ("math", "law"), start=tmp_path)
    assert [use.name for use in made.suites(["math"])] == ["math-held-out"]
    assert made.unwritten_suites(["math"]) == ("law-held-out",)
    (made.evals / "tasks" / "law-held-out.jsonl").write_text('{"id": "1"}\n')
    assert [use.name for use in made.suites(["math"])] == ["law-held-out", "math-held-out"]


def _result(model, scores):
    items = [ItemScore(str(n), "same", float(score)) for n, score in enumerate(scores)]
    return SuiteResult("s", model, tuple(items))


def test_only_a_sure_gain_settles_a_claim():
    base, half = [0] * 40, [1, 0] * 20
    assert judge([_result("base", base)], [_result("math", half)])["verdict"] == "pass"
    assert judge([_result("base", half)], [_result("math", base)])["verdict"] == "fail"
    assert judge([_result("base", base)], [_result("math", base)])["verdict"] == "cannot tell"
    one = judge([_result("base", base)], [_result("math", [1, *base[1:]])])
    assert one["verdict"] == "cannot tell"
    assert (one["n"], one["score"], one["base_score"]) == (40, 1 / 40, 0)


def test_a_standing_says_what_the_check_found(workspace, lora):
    artifact = _adopt(workspace, lora).artifact
    told = standing_of(artifact)
    assert told is not None
    assert str(told).startswith("base claimed: no functional check yet")
    found = judge([_result("base", [0] * 20)], [_result("math", [1] * 20)])
    keep_functional_check(artifact, found)
    told = standing_of(artifact)
    assert told is not None
    assert told.state == "checked"
    assert told.why.startswith("it beats the base, 1.000 against the base's 0.000 on 20 questions")
    keep_functional_check(artifact, found | {"verdict": "fail"})
    told = standing_of(artifact)
    assert told is not None
    assert (told.state, told.why.split(",")[0]) == ("claimed", "it does worse than the base")
