"""Two merges of one name at once: the second is told who holds it, or waits for it."""

from __future__ import annotations

import pytest

from additive.cli.main import run
from additive.types.digests import digest_json
from additive.workspace.workspace import Workspace
from tests.merge.conformance import make_zoo
from tests.verbs.holding import start_holding, start_merging


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace whose one recipe is a mergekit file over an adapter that nobody froze."""
    zoo = make_zoo(tmp_path_factory.mktemp("zoo"))
    root = tmp_path_factory.mktemp("workspace")
    base, adapter = zoo.places["base"], zoo.places["lora"]
    (root / "additive.yaml").write_text(f"version: 1\nbase: {{model: {base}}}\n")
    (root / "merges").mkdir()
    for name in ("one", "two"):
        text = f"merge_method: passthrough\nmodels: [{{model: {base}+{adapter}}}]\n"
        (root / "merges" / f"{name}.yaml").write_text(text)
    return Workspace(root)


def held(workspace, name, seconds):
    """The merge's lock in another process, for a while."""
    return start_holding(workspace.locks / f"merge-{digest_json(name)[:16]}.lock", seconds)


def test_the_second_is_told_who_holds_it(workspace, capfd):
    child = held(workspace, "one", 600)
    try:
        assert run(["-C", str(workspace.root), "merge", "one", "--no-check"]) == 5
        assert f"process {child.pid}" in capfd.readouterr().err
        assert workspace.store.versions("one") == ()
    finally:
        child.kill()
        child.join()
    assert run(["-C", str(workspace.root), "merge", "one", "--no-check"]) == 0


def test_with_wait_it_goes_on_when_the_first_has_ended(workspace):
    child = held(workspace, "two", 0.5)
    assert run(["-C", str(workspace.root), "merge", "two", "--no-check", "--wait"]) == 0
    child.join()
    assert len(workspace.store.versions("two")) == 1


@pytest.mark.soak
def test_two_that_run_at_once_end_with_one_merge(workspace):
    (workspace.root / "merges" / "race.yaml").write_text(
        (workspace.root / "merges" / "one.yaml").read_text()
    )
    children = [start_merging(workspace.root, "race") for _ in range(2)]
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert len(workspace.store.versions("race")) == 1
