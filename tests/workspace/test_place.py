"""Names to files, and what is read from where."""

from __future__ import annotations

import pytest

from additive.errors import CompatibilityError, IntegrityError, SpecError, UnknownName, UsageError
from additive.types.digests import digest_file
from additive.workspace.environment import Environment
from additive.workspace.inputs import (
    base_identity,
    data_inputs,
    lock_rows,
    lock_suites,
    read_lock,
    update_lock,
)
from additive.workspace.workspace import Workspace, demo_source, find_workspace
from tests.workspace.making import make_base, make_workspace, write_rows


@pytest.fixture
def workspace(tmp_path):
    return make_workspace(tmp_path / "work")


def test_a_workspace_is_found_from_anywhere_inside(workspace):
    inside = workspace.root / "domains" / "sums"
    assert find_workspace(inside).root == workspace.root
    assert find_workspace(workspace.root).root == workspace.root


def test_the_nearest_one_wins(workspace):
    inner = workspace.root / "domains" / "sums"
    (inner / "additive.yaml").write_text("version: 1\nbase: {model: tiny}\n")
    assert find_workspace(inner).root == inner


def test_no_workspace_says_how_to_make_one(tmp_path):
    with pytest.raises(UsageError, match=r"no additive\.yaml here or above") as caught:
        find_workspace(tmp_path)
    assert caught.value.help == "additive init my-skills --base tiny"
    with pytest.raises(UsageError, match="is not a directory"):
        find_workspace(tmp_path / "none")


def test_names_are_those_of_files_in_their_place(workspace):
    (workspace.root / "domains" / "Bad Name").mkdir()
    (workspace.root / "domains" / "Bad Name" / "domain.yaml").write_text("version: 1\n")
    (workspace.root / "domains" / "empty").mkdir()
    assert workspace.domain_names() == ("sums",)
    assert workspace.suite_names() == ("sums",)
    assert workspace.recipe_names() == ()
    assert workspace.domain("sums").name == "sums"


@pytest.mark.parametrize("name", ["smus", "../sums", "", "sums/../sums", "-rf", "x" * 300])
def test_unknown_names_lead_nowhere(workspace, name):
    for find in (workspace.domain, workspace.suite, workspace.recipe):
        with pytest.raises(UnknownName):
            find(name)


def test_faults_name_the_file_as_the_user_sees_it(workspace):
    (workspace.root / "domains" / "sums" / "domain.yaml").write_text("version: 3\n")
    with pytest.raises(SpecError) as caught:
        workspace.domain("sums")
    assert caught.value.problems[0].startswith("domains/sums/domain.yaml:1:10: ")


def test_a_suite_without_a_rule_takes_the_workspaces(workspace):
    assert workspace.suite("sums").gate.margin == 0.05
    text = "version: 1\nbase: {model: base}\ngate: {margin: 0.02}\n"
    (workspace.root / "additive.yaml").write_text(text)
    assert Workspace(workspace.root).suite("sums").gate.margin == 0.02


def test_suites_of_domains_that_are_not_merged_are_guards(workspace):
    text = "version: 1\nrole: guard\ntasks: [{name: a, data: tasks/sums.jsonl}]\n"
    (workspace.evals / "general.yaml").write_text(text)
    roles = {use.name: use.role for use in workspace.suites(["sums"])}
    assert roles == {"general": "guard", "sums": "target"}
    roles = {use.name: use.role for use in workspace.suites(["other"])}
    assert roles == {"general": "guard", "sums": "guard"}


def test_recall_rows_are_named_or_beside_the_base(workspace):
    assert workspace.recall_file() is None
    beside = workspace.root / "base" / "recall.jsonl"
    write_rows(beside, [{"prompt": "a", "completion": "b"}])
    assert workspace.recall_file() == beside
    text = "version: 1\nbase: {model: base, recall: mine.jsonl}\n"
    (workspace.root / "additive.yaml").write_text(text)
    assert Workspace(workspace.root).recall_file() == workspace.root / "mine.jsonl"


def test_the_lock_holds_every_input_and_no_time(workspace):
    assert update_lock(workspace, base_identity(workspace)) == ()
    first = workspace.lockfile.read_bytes()
    update_lock(workspace, base_identity(workspace))
    assert workspace.lockfile.read_bytes() == first
    locked = read_lock(workspace)
    assert sorted(locked["domains"]) == [
        "domains/sums/domain.yaml",
        "domains/sums/train.jsonl",
        "domains/sums/validation.jsonl",
    ]
    assert sorted(locked["evals"]) == ["evals/sums.yaml", "evals/tasks/sums.jsonl"]
    assert locked["base"]["digest"] == base_identity(workspace).digest
    assert {key: locked[key] for key in ("domains", "evals")} == data_inputs(workspace)


def test_updating_says_what_changed(workspace):
    update_lock(workspace, base_identity(workspace))
    write_rows(workspace.root / "domains/sums/train.jsonl", [{"prompt": "a", "completion": "b"}])
    [line] = update_lock(workspace, base_identity(workspace))
    assert line.startswith("domains domains/sums/train.jsonl: ")


def test_a_verb_records_what_it_has_read_and_nothing_else(workspace):
    update_lock(workspace, base_identity(workspace))
    first = read_lock(workspace)
    train = workspace.root / "domains/sums/train.jsonl"
    write_rows(train, [{"prompt": "a", "completion": "b"}])
    write_rows(workspace.root / "evals/tasks/sums.jsonl", [{"id": "1", "prompt": "c"}])
    [line] = lock_suites(workspace, base_identity(workspace))
    assert line.startswith("evals evals/tasks/sums.jsonl: ")
    assert read_lock(workspace)["domains"] == first["domains"]
    [line] = lock_rows(workspace, base_identity(workspace), {train: digest_file(train)})
    assert line.startswith("domains domains/sums/train.jsonl: ")
    assert update_lock(workspace, base_identity(workspace)) == ()


def test_another_base_than_the_locked_one_is_refused(workspace):
    update_lock(workspace, base_identity(workspace))
    (workspace.root / "base" / "model.safetensors").unlink()
    make_base(workspace.root / "base", value=5.0)
    with pytest.raises(CompatibilityError, match=r"; additive\.lock pins 'base' at"):
        base_identity(Workspace(workspace.root))


def test_a_revision_is_pinned_for_the_base_it_was_taken_from(workspace):
    text = '{"schema": "additive.lock/1", "base": {"id": "org/name", "revision": "abc"}}'
    workspace.lockfile.write_text(text)
    assert workspace.pinned_revision() is None
    (workspace.root / "additive.yaml").write_text("version: 1\nbase: {model: org/name}\n")
    assert Workspace(workspace.root).pinned_revision() == "abc"
    workspace.lockfile.write_text("<<<<<<< HEAD\n")
    with pytest.raises(IntegrityError):
        Workspace(workspace.root).pinned_revision()


@pytest.mark.parametrize(
    ("variables", "no_color", "offline"),
    [
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"HF_HUB_OFFLINE": "1"}, False, True),
        ({"HF_HUB_OFFLINE": "true"}, False, True),
        ({"HF_HUB_OFFLINE": "0"}, False, False),
    ],
)
def test_the_environment(variables, no_color, offline):
    found = Environment.read(variables)
    assert (found.no_color, found.offline) == (no_color, offline)


def test_the_demo_ships_with_the_package():
    source = Workspace(demo_source())
    assert {"math", "code", "safety"} <= set(source.domain_names())
