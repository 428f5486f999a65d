"""list, show, verify and doctor."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from additive.artifacts.manifest import Parent
from additive.cli.main import run
from additive.verbs.doctor import available_memory, judge_torch
from additive.workspace.workspace import Workspace
from tests.artifacts.making import freeze_one
from tests.workspace.making import make_workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    made = make_workspace(tmp_path / "work")
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def frozen(workspace):
    """Two versions of sums, one adopted specialist, one merge."""
    first = freeze_one(workspace.store, 1.0, "sums")
    second = freeze_one(workspace.store, 2.0, "sums")
    other = freeze_one(workspace.store, 1.0, "other")
    merged = freeze_one(
        workspace.store,
        3.0,
        "sums+other",
        kind="merge",
        saturation={},
        snapshots=(),
        spec={"method": {"name": "ties", "density": 0.3}, "scale": 0.5},
        parents=(
            Parent(name="sums", digest=second.digest, weight=1.0),
            Parent(name="other", digest=other.digest, weight=1.0),
        ),
    )
    return first, second, other, merged


def document(capsys, *arguments):
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_an_empty_workspace_lists_what_is_defined(workspace, capsys):
    assert run(["list"]) == 0
    said = capsys.readouterr().out
    assert "sums    lora r=8       –  not trained         0" in said
    assert "no merges yet" in said
    assert "sums   sums    target  margin 0.05  sums" in said


def test_list_knows_every_version(frozen, capsys):
    first, second, _, merged = frozen
    code, found = document(capsys, "list")
    assert code == 0
    assert found["schema"] == "additive.list/1"
    domains = {domain["name"]: domain for domain in found["domains"]}
    assert [v["digest"] for v in domains["sums"]["versions"]] == [first.digest, second.digest]
    assert domains["sums"]["versions"][0]["path"] == str(first.path)
    assert domains["sums"]["versions"][0]["state"] == "saturated"
    assert domains["other"]["defined"] is False
    [merge] = found["merges"]
    assert merge["versions"][0]["method"] == "ties"
    assert merge["versions"][0]["sources"] == [
        f"sums@{second.digest[:8]}",
        f"other@{frozen[2].digest[:8]}",
    ]
    assert run(["list", "merges"]) == 0
    assert merged.reference in capsys.readouterr().out


def test_a_recipe_is_listed_before_it_is_built(workspace, capsys):
    (workspace.root / "merges").mkdir()
    (workspace.root / "merges" / "all.yaml").write_text("version: 1\nsources: [sums]\n")
    _, found = document(capsys, "list", "merges")
    assert found["merges"] == [{"name": "all", "recipe": True, "versions": []}]
    assert run(["show", "all"]) == 2
    assert "help: additive merge all" in capsys.readouterr().err


def test_methods_are_listed_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, found = document(capsys, "list", "methods")
    ties = next(method for method in found["methods"] if method["name"] == "ties")
    assert ties["origin"] == "built-in" and ties["paper"] == "arXiv:2306.01708"
    assert ties["needs"] == "any deltas" and ties["cost"] == "two passes"
    assert run(["list", "domains"]) == 2


def test_an_unknown_section_is_a_usage_error(workspace, capsys):
    assert run(["list", "mehtods"]) == 2
    assert "'mehtods' is not one of" in capsys.readouterr().err


def test_a_damaged_artifact_is_listed_as_such(frozen, capsys):
    manifest = frozen[1].path / "manifest.json"
    os.chmod(frozen[1].path, 0o755)
    os.chmod(manifest, 0o644)
    manifest.write_text("{}")
    _, found = document(capsys, "list", "domains")
    states = [v["state"] for d in found["domains"] if d["name"] == "sums" for v in d["versions"]]
    assert states == ["saturated", "damaged"]


def test_show_prints_the_manifest_itself(frozen, capsys):
    code, found = document(capsys, "show", "sums")
    assert code == 0
    assert found == json.loads((frozen[1].path / "manifest.json").read_text())
    assert run(["show", f"sums@{frozen[0].digest[:6]}"]) == 0
    said = capsys.readouterr().out
    assert f"specialist  sums@{frozen[0].digest}\n" in said
    assert "training    saturated at step 5" in said
    assert "data        train.jsonl: 10 rows, 44444444, CC0-1.0\n" in said


def test_show_of_a_snapshot_leads_to_its_directory(frozen, capsys):
    (half,) = [s for s in frozen[1].manifest.snapshots if s.fraction == 0.5]
    assert run(["show", "sums#0.5"]) == 0
    assert f"path        {frozen[1].path / half.path}\n" in capsys.readouterr().out
    assert run(["show", "sums#0.1"]) == 2
    assert "snapshot" in capsys.readouterr().err


def test_show_a_merge_and_a_directory(frozen, capsys):
    assert run(["show", "sums+other"]) == 0
    said = capsys.readouterr().out
    assert "method      ties, density 0.3\n" in said
    assert f"source      sums@{frozen[1].digest[:8]} × 1\n" in said
    assert run(["show", str(frozen[0].path)]) == 0
    assert f"sums@{frozen[0].digest}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smus", "error: unknown artifact 'smus'; did you mean 'sums'?"),
        ("sums@ffff", "error: unknown version of sums 'ffff'"),
        ("../x", "error: ../x: is not a directory"),
        ("domains/sums", "error: domains/sums: has no manifest.json"),
        ("Sums", "error: reference is 'Sums'; expected name, name@digest"),
        ("-rf", "error: unknown option '-r'"),
        ("\x1b[31m", "error: reference is '\\x1b[31m'; expected"),
        ("x" * 300, "error: artifact name is 'xxx"),
    ],
)
def test_what_there_is_not_is_said(frozen, name, said, capsys):
    assert run(["show", name]) == 2
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert "\x1b" not in err


def test_a_domain_that_is_not_trained_says_how(workspace, capsys):
    assert run(["show", "sums"]) == 2
    assert capsys.readouterr().err == (
        "error: domain 'sums' is not trained yet\nhelp: additive train sums\n"
    )


def test_verify_looks_at_every_byte_of_everything(frozen, capsys):
    code, found = document(capsys, "verify")
    assert (code, found["ok"], len(found["artifacts"])) == (0, True, 4)
    path = frozen[2].path / "adapter_model.safetensors"
    os.chmod(path, 0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    code, found = document(capsys, "verify")
    assert code == 3
    bad = [record for record in found["artifacts"] if record["problems"]]
    assert [record["path"] for record in bad] == [str(frozen[2].path)]
    assert bad[0]["problems"][0]["file"] == "adapter_model.safetensors"
    assert run(["verify", "other"]) == 3
    assert capsys.readouterr().out.startswith("fail  ")
    assert run(["verify", "sums"]) == 0
    assert capsys.readouterr().out == f"ok    {frozen[1].path}\n"


def test_verify_of_a_workspace_is_of_all_its_store(frozen, capsys):
    assert document(capsys, "verify", ".") == document(capsys, "verify")


def test_verify_needs_no_workspace_for_a_copy(frozen, tmp_path, monkeypatch, capsys):
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(frozen[0].path, copy)
    monkeypatch.chdir(copy.parent)
    assert run(["verify", "copy"]) == 0
    os.chmod(copy, 0o755)
    (copy / "extra.txt").write_text("x")
    (copy / "manifest.json").chmod(0o644)
    assert run(["verify", "copy"]) == 3
    assert f"fail  {copy}/extra.txt: is an extra file" in capsys.readouterr().out
    (copy / "manifest.json").unlink()
    assert run(["verify", "copy"]) == 3


def test_verify_what_is_not_there(workspace, capsys):
    assert run(["verify", "nothing"]) == 2
    assert run(["verify"]) == 0
    assert capsys.readouterr().out == "nothing is frozen yet\n"


def test_doctor_judges_everything_and_this_machine_can_work(workspace, capsys):
    code, found = document(capsys, "doctor")
    checks = {check["name"]: check for check in found["checks"]}
    assert list(checks) == [
        "python",
        "libraries",
        "torch",
        "cores",
        "memory",
        "disk",
        "sandbox",
        "base",
    ]
    assert found["ok"] is (code == 0) is True
    assert checks["base"]["result"] == f"base at {workspace.root / 'base'}"
    assert checks["torch"]["state"] in ("ok", "warn")


def test_doctor_says_what_mends_a_missing_base(workspace, capsys):
    shutil.rmtree(workspace.root / "base")
    code, found = document(capsys, "doctor")
    assert code == 4
    [failed] = [check for check in found["checks"] if check["state"] == "fail"]
    assert failed["name"] == "base"
    assert failed["help"] == "set base.model in additive.yaml"


@pytest.mark.parametrize(
    ("version", "cuda", "driver", "state"),
    [
        ("2.8.0+cu128", True, "570.1", "ok"),
        ("2.8.0+cpu", False, None, "ok"),
        ("2.8.0+cpu", False, "570.1", "warn"),
        ("2.8.0+cu128", False, "450.80", "warn"),
    ],
)
def test_a_torch_build_is_judged_against_the_driver(version, cuda, driver, state):
    check = judge_torch(version, cuda, "H200" if cuda else "-", driver=driver)
    assert check.state == state
    assert bool(check.help) is (state == "warn")


def test_memory_is_what_system_and_control_group_leave(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    1000 kB\n")
    assert available_memory(tmp_path, tmp_path / "none") == 1_024_000
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert available_memory(tmp_path, tmp_path) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(tmp_path, tmp_path) == 1_024_000
    assert available_memory(tmp_path / "none", tmp_path / "none") is None


def test_reading_a_workspace_writes_nothing_into_it_but_the_cache(workspace):
    before = {path for path in workspace.root.rglob("*") if ".additive" not in path.parts}
    for verb in ("list", "lint", "verify"):
        assert run([verb, "-q"]) == 0
    after = {path for path in workspace.root.rglob("*") if ".additive" not in path.parts}
    assert after == before
    assert isinstance(workspace, Workspace)


@pytest.mark.parametrize("name", ["sums", "base", "sums+other"])
def test_a_model_alone_is_no_question(frozen, name, capsys):
    assert run(["ask", name]) == 2
    assert f'help: additive ask {name} "your question"' in capsys.readouterr().err
