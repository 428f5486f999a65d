"""Data files are inputs by their path, so that two of one name are two."""

from __future__ import annotations

import json

from additive.verbs.trained import training_request
from additive.workspace.inputs import base_identity
from tests.workspace.making import make_workspace


def test_two_files_of_one_name_are_two_inputs(tmp_path):
    workspace = make_workspace(tmp_path)
    folder = tmp_path / "domains" / "sums"
    for part in ("a", "b"):
        (folder / part).mkdir()
        (folder / part / "rows.jsonl").write_text(
            json.dumps({"prompt": f"{part}?", "completion": "x"}) + "\n"
        )
    (folder / "domain.yaml").write_text(
        "version: 1\ndata: {train: [a/rows.jsonl, b/rows.jsonl], validation: [validation.jsonl]}\n"
    )
    base = base_identity(workspace)
    before = training_request(workspace, "sums", base)["inputs"]["files"]
    assert set(before) == {"a/rows.jsonl", "b/rows.jsonl", "validation.jsonl"}
    (folder / "a" / "rows.jsonl").write_text('{"prompt": "other", "completion": "x"}\n')
    after = training_request(workspace, "sums", base)["inputs"]["files"]
    assert [name for name in before if before[name] != after[name]] == ["a/rows.jsonl"]
