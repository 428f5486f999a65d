"""Built-ins and plug-ins by name; plug-ins are real distributions on the path."""

from __future__ import annotations

import sys

import pytest

from additive.errors import UnknownName, UsageError
from additive.registry import Registry

GROUP = "additive.test_things"
BUILTINS = {"usage": "additive.errors:UsageError", "name": "additive.errors:UnknownName"}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution with one module and one entry point on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(distribution, name, code="Thing = 'made'"):
        module = f"plugin_{distribution.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}:Thing\n")
        return module

    return make


def registry():
    return Registry("thing", BUILTINS, GROUP)


def test_a_builtin_is_imported_when_it_is_asked_for():
    assert registry().get("usage") is UsageError
    assert registry().names() == ("name", "usage")
    assert registry().origin("usage") == "built-in"
    assert "usage" in registry()
    assert "other" not in registry()


def test_an_unknown_name_says_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown thing 'uasge'; did you mean 'usage'\?"):
        registry().get("uasge")


def test_a_plugin_joins_by_its_entry_point_and_is_imported_once(install):
    module = install("one-plugin", "extra", "Thing = object()")
    found = registry()
    assert found.names() == ("extra", "name", "usage")
    assert module not in sys.modules
    assert found.get("extra") is found.get("extra")
    assert found.origin("extra") == "one-plugin"


def test_two_providers_of_one_name_are_both_named(install):
    install("one-plugin", "extra")
    install("two-plugin", "extra")
    with pytest.raises(UsageError, match="'extra' is provided twice: one-plugin, two-plugin"):
        registry().get("extra")
    assert registry().get("usage") is UsageError


def test_a_plugin_cannot_take_the_place_of_a_builtin(install):
    install("one-plugin", "usage")
    with pytest.raises(UsageError, match="provided twice: built-in, one-plugin"):
        registry().get("usage")


@pytest.mark.parametrize(
    "code", ["import nothing_like_it", "1/0", "def", "x = 1", "raise RuntimeError('no')"]
)
def test_a_broken_plugin_fails_by_name_and_only_when_used(install, code):
    install("bad-plugin", "bad", code)
    found = registry()
    assert "bad" in found.names()
    assert found.get("usage") is UsageError
    with pytest.raises(UsageError, match="thing 'bad' cannot be imported") as caught:
        found.get("bad")
    assert caught.value.help == "mend or uninstall bad-plugin"
