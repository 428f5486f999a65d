"""What changed is noted by lint until a verb has read it: training, a merge's rows, a check."""

from __future__ import annotations

import json

from additive.verbs.check import check_merge
from additive.verbs.lint import lint_workspace
from additive.verbs.merge import build_merge
from additive.verbs.merge_request import request_merge
from additive.workspace.inputs import base_identity, update_lock
from additive.workspace.workspace import Workspace
from tests.verbs.making import make_adapters
from tests.workspace.making import write_rows

ROWS = {
    "math": [{"prompt": f"{n}+1=", "completion": str(n + 1)} for n in range(4)],
    "code": [{"prompt": f"upper('a{n}')", "completion": f"'A{n}'"} for n in range(3)],
}
SUITE = {"version": 1, "role": "guard", "tasks": [{"name": "a", "data": "tasks/general.jsonl"}]}
MATH, ITEMS = "domains/math", "evals/tasks/general.jsonl"


def changed(workspace):
    """The files that lint names as changed."""
    notes = lint_workspace(Workspace(workspace.root)).notes
    return [note.removesuffix(" changed since additive.lock was written") for note in notes]


def test_a_change_is_noted_until_a_verb_has_read_it(tmp_path, bases):
    workspace = make_adapters(tmp_path / "work", bases(), ROWS)
    items = workspace.root / ITEMS
    write_rows(items, [{"id": "1", "prompt": "say a", "answer": "a"}])
    (workspace.evals / "general.yaml").write_text(json.dumps(SUITE))
    update_lock(workspace, base_identity(workspace))
    assert changed(workspace) == []
    write_rows(items, [{"id": "1", "prompt": "say b", "answer": "b"}])
    for split in ("train", "validation"):
        path = workspace.root / MATH / f"{split}.jsonl"
        write_rows(path, [{"prompt": f"{split}: 5+1=", "completion": "6"}])
    both = [f"{MATH}/train.jsonl", f"{MATH}/validation.jsonl"]
    assert changed(workspace) == [*both, ITEMS]
    base = base_identity(workspace)
    request = request_merge(workspace, ["math", "code"], {}, base)
    artifact = build_merge(workspace, request).artifact
    assert changed(workspace) == [both[0], ITEMS]
    assert check_merge(workspace, artifact)["verdict"] == "not checked"
    assert changed(workspace) == [both[0]]
