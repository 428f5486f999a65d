"""A word of the command line means one recipe of this workspace, never another file of its name."""

from __future__ import annotations

import pytest

from additive.errors import UnknownName, UsageError
from additive.workspace.recipes import resolve_recipe
from additive.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    root = tmp_path / "team"
    (root / "merges").mkdir(parents=True)
    (root / "domains" / "math").mkdir(parents=True)
    (root / "additive.yaml").write_text("version: 1\nbase: {model: org/base}\n")
    (root / "domains" / "math" / "domain.yaml").write_text("version: 1\n")
    for name in ("release.yaml", "math.yaml", "MyMerge.yaml", "late.yml"):
        (root / "merges" / name).write_text("merge_method: linear\n")
    return Workspace(root)


@pytest.mark.parametrize("text", ["release", "release.yaml", "merges/release.yaml"])
def test_a_name_and_its_file_mean_the_recipe(workspace, text):
    assert resolve_recipe(workspace, text) == "release"


def test_a_path_is_seen_from_here_too(workspace, monkeypatch):
    monkeypatch.chdir(workspace.root.parent)
    assert resolve_recipe(workspace, "team/merges/release.yaml") == "release"
    assert resolve_recipe(workspace, str(workspace.root / "merges" / "release.yaml")) == "release"


def test_a_domains_name_is_no_recipe_but_its_file_is(workspace):
    assert resolve_recipe(workspace, "math") is None
    assert resolve_recipe(workspace, "merges/math.yaml") == "math"
    assert resolve_recipe(workspace, "code") is None


@pytest.mark.parametrize("name", ["release.yaml", "other.yaml", "Config 2.yml"])
def test_a_file_elsewhere_is_refused_with_the_way_in(workspace, tmp_path, monkeypatch, name):
    (tmp_path / name).write_text("merge_method: ties\n")
    monkeypatch.chdir(workspace.root)
    with pytest.raises(UsageError, match=rf"file is \.\./{name}; expected") as caught:
        resolve_recipe(workspace, f"../{name}")
    wanted = {"Config 2.yml": "config-2"}.get(name, name.removesuffix(".yaml"))
    assert f"merges/{wanted}.yaml" in str(caught.value.help)


@pytest.mark.parametrize(("name", "wanted"), [("MyMerge.yaml", "mymerge"), ("late.yml", "late")])
def test_a_file_whose_name_is_no_recipes_is_refused_with_one_that_is(workspace, name, wanted):
    with pytest.raises(UsageError, match=r"; expected merges/NAME\.yaml") as caught:
        resolve_recipe(workspace, f"merges/{name}")
    assert f"merges/{wanted}.yaml" in str(caught.value.help)


def test_a_file_that_is_not_there_is_named(workspace):
    with pytest.raises(UnknownName, match="unknown recipe 'relaese'; did you mean 'release'"):
        resolve_recipe(workspace, "merges/relaese.yaml")
    with pytest.raises(UnknownName, match="unknown recipe 'release'"):
        resolve_recipe(workspace, "elsewhere/release.yaml")
