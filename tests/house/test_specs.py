"""Every YAML file that is shipped loads: the repository's own workspace, scaffolds, tutorial."""

from __future__ import annotations

from pathlib import Path

import pytest

from additive.errors import SpecError
from additive.spec.domain import DomainSpec
from additive.spec.loader import load, loads
from additive.spec.recipe import Recipe
from additive.spec.suite import SuiteSpec
from additive.spec.workspace import WorkspaceSpec
from tests.house.documents import blocks, pages
from tests.house.source import ROOT


def kind_of(path: Path) -> tuple[type, str | None] | None:
    """The model and the name of the spec at a place of a workspace; null for other YAML."""
    if path.name == "additive.yaml" and len(path.parts) == 1:
        return WorkspaceSpec, None
    if path.name == "domain.yaml" and path.parts[0] == "domains" and len(path.parts) == 3:
        return DomainSpec, path.parts[1]
    if path.parts[0] == "evals" and len(path.parts) == 2:
        return SuiteSpec, path.stem
    if path.parts[0] == "merges" and len(path.parts) == 2:
        return Recipe, path.stem
    return None


def shipped() -> list[Path]:
    folders = ("domains", "evals", "merges")
    found = [path for name in folders for path in sorted((ROOT / name).rglob("*.y*ml"))]
    return [path.relative_to(ROOT) for path in [ROOT / "additive.yaml", *found]]


def in_pages() -> list[tuple[str, Path, str]]:
    return [
        (f"{block.page}:{block.line}", Path(block.file), block.text)
        for page in pages()
        for block in blocks(page)
        if block.file and block.file.endswith((".yaml", ".yml"))
    ]


@pytest.mark.parametrize("path", shipped(), ids=str)
def test_shipped_specs_load(path):
    known = kind_of(path)
    if known is None:
        assert path.parts[:2] == ("evals", "tasks"), f"{path} is where no spec belongs"
        pytest.skip(f"{path} is a task of lm-eval, not a spec of ours")
    model, name = known
    load(ROOT / path, model, name=name)


@pytest.mark.parametrize(("where", "path", "text"), in_pages(), ids=lambda value: str(value)[:40])
def test_specs_in_the_docs_load(where, path, text):
    known = kind_of(path)
    assert known is not None, f"{where}: {path} is where no spec belongs"
    model, name = known
    loads(text, model, name=name, display_path=where)


def test_shipped_files_name_their_schema_and_it_is_there():
    for path in shipped():
        first = (ROOT / path).read_text(encoding="utf-8").splitlines()[0]
        mark, _, schema = first.partition("$schema=")
        assert mark == "# yaml-language-server: ", f"{path}: the first line names no schema"
        assert (ROOT / path.parent / schema).is_file(), f"{path}: {schema} is not there"


def test_the_repository_is_a_workspace_with_three_domains():
    from additive.workspace.workspace import find_workspace

    workspace = find_workspace(ROOT)
    assert {"code", "math", "safety"} <= set(workspace.domain_names())
    suites = [workspace.suite(name) for name in workspace.suite_names()]
    targets = {suite.domain for suite in suites if suite.role == "target"}
    assert {"code", "math", "safety"} <= targets
    assert any(suite.role == "guard" for suite in suites)


def test_a_broken_file_would_be_seen():
    with pytest.raises(SpecError, match="rnak"):
        loads("version: 1\nadapt: {kind: lora, rnak: 8}\n", DomainSpec)
