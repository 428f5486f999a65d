"""Scaffolds: ready for the bundled base, empty and commented for any other."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from additive.cli.main import run
from additive.workspace.workspace import Workspace, demo_source
from tests.workspace.making import make_base


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_bundled_base_comes_ready_to_train(tmp_path, capsys):
    assert run(["init", "my-skills", "--base", "tiny"]) == 0
    made, shipped = Workspace(tmp_path / "my-skills"), Workspace(demo_source())
    assert set(made.domain_names()) == {"math", "code", "safety"}
    for name in made.domain_names():
        assert made.domain(name) == shipped.domain(name)
        for split in ("train", "validation"):
            for mine, theirs in zip(
                made.data_files(name, split), shipped.data_files(name, split), strict=True
            ):
                assert mine.read_bytes() == theirs.read_bytes()
    assert len(made.suite_names()) == 7
    for name in made.suite_names():
        assert made.suite(name) == shipped.suite(name)
        assert all(path.is_file() for path in made.item_files(name))
    assert made.spec == shipped.spec
    assert "additive train math" in capsys.readouterr().out
    assert not list(made.root.rglob("*.py"))


def test_every_file_names_a_schema_that_is_there(tmp_path):
    assert run(["init", "ready", "-q"]) == 0
    base = make_base(tmp_path / "base")
    assert run(["init", "empty", "--base", str(base), "-q"]) == 0
    for root in (tmp_path / "ready", tmp_path / "empty"):
        specs = [root / "additive.yaml", *root.glob("domains/*/*.yaml"), *root.glob("evals/*.yaml")]
        assert len(specs) >= 7
        for path in specs:
            first = path.read_text().splitlines()[0]
            schema = path.parent / first.removeprefix("# yaml-language-server: $schema=")
            assert json.loads(schema.read_text())["title"].startswith("additive ")


def test_another_base_gets_empty_commented_domains(tmp_path, capsys):
    make_base(tmp_path / "models" / "base")
    assert run(["init", "mine", "--base", "models/base", "--domain", "law", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    root = tmp_path / "mine"
    assert document["schema"] == "additive.init/1"
    assert document["path"] == str(root)
    assert document["domains"] == ["law"]
    workspace = Workspace(root)
    assert workspace.base_directory() == tmp_path / "models" / "base"
    assert workspace.domain("law").adapt.kind == "lora"
    assert "# rslora: false" in (root / "domains" / "law" / "domain.yaml").read_text()
    assert "* License:" in (root / "domains" / "law" / "README.md").read_text()
    assert run(["-C", "mine", "lint"]) == 3
    said = capsys.readouterr().out
    assert "domains/law/train.jsonl: file has no rows" in said
    assert "evals/tasks/law-held-out.jsonl: file has no rows" in said


def test_a_hub_id_is_taken_as_it_is_and_not_fetched(tmp_path):
    assert run(["init", "mine", "--base", "org/name", "-q"]) == 0
    workspace = Workspace(tmp_path / "mine")
    assert workspace.spec.base.model == "org/name"
    assert workspace.domain_names() == ("code", "math", "safety")


def test_here_when_no_directory_is_given_beside_git(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("mine\n")
    assert run(["init", "-q"]) == 0
    assert (tmp_path / "additive.yaml").is_file()
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("used", [], "used: directory is not empty (it has a.txt)"),
        ("file", [], "file: is a file; expected a directory"),
        ("new", ["--base", "tinny"], "base is 'tinny'; expected tiny, a directory or"),
        ("new", ["--base", "./no"], "base is './no'; expected"),
        ("new", ["--base", "used"], "base"),
        ("new", ["--domain", "../x"], "domain name is '../x'; expected a name that matches"),
        ("new", ["--domain", "a b"], "domain name is 'a b'; expected a name that matches"),
    ],
)
def test_what_cannot_be_scaffolded_is_refused_and_nothing_is_left(
    tmp_path, name, arguments, said, capsys
):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "a.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    assert run(["init", name, *arguments]) == 2
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_workspace_is_not_made_twice(tmp_path, capsys):
    assert run(["init", "mine", "-q"]) == 0
    assert run(["init", "mine"]) == 2
    assert "is a workspace already\nhelp: additive -C " in capsys.readouterr().err


def test_modes_follow_the_umask_whatever_the_package_has(tmp_path):
    assert run(["init", "mine", "-q"]) == 0
    path: Path = tmp_path / "mine" / "domains" / "math" / "train.jsonl"
    (tmp_path / "plain").write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("name", ["base", "merged", "specialist"])
def test_no_domain_has_the_name_of_a_part(tmp_path, capsys, name):
    make_base(tmp_path / "own")
    assert run(["init", "work", "--base", "own", "--domain", name]) == 2
    assert f"domain name is '{name}'" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("config.json", {"quantization_config": {"bits": 4}}, "weights are quantized"),
        (
            "tokenizer_config.json",
            {"chat_template": [{"name": "rag", "template": "x"}]},
            "chat templates are named rag; expected one named default",
        ),
        ("config.json", {"auto_map": {"AutoModel": "x.Y"}}, "auto_map"),
    ],
)
def test_a_base_that_later_commands_would_refuse_is_refused_at_once(
    tmp_path, capsys, file, change, said
):
    base = make_base(tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink(missing_ok=True)
    path = tmp_path / "base" / file
    fields = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(fields | change))
    assert run(["init", "new", "--base", str(base or tmp_path / "base")]) == 3
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
