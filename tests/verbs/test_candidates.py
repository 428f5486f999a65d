"""`additive.candidates`: what a name stands for, prepared once, is what a merge of it takes."""

from __future__ import annotations

import pytest
import torch

from additive.errors import UsageError
from additive.merge.recipe import build_method
from additive.verbs.candidates import candidates
from additive.verbs.merge import build_merge
from additive.verbs.merge_request import request_merge
from additive.workspace.inputs import base_identity
from tests.merge import files
from tests.verbs.making import make_adapters

ROWS = {name: [{"prompt": name, "completion": "x"}] for name in ("math", "code")}


def test_a_candidate_is_the_merge_of_the_same_names(tmp_path, bases):
    workspace = make_adapters(tmp_path / "work", bases(), ROWS)
    base, start = base_identity(workspace), files.read(bases())
    options = {"method": "tsv_m", "scale": 0.8, "weights": {"code": 0.5}}
    for names in (["math", "code"], ["math#0.5", "code"], ["code", "math"]):
        request = request_merge(workspace, names, options, base)
        merged = files.read(build_merge(workspace, request).artifact.path)
        with candidates(workspace, names) as prepared:
            deltas = prepared.apply(build_method("tsv_m"), {"code": 0.5}, scale=0.8)
        for name, delta in deltas.items():
            torch.testing.assert_close(start[name] + delta.dense(), merged[name])
    with candidates(workspace, ["math", "math#0.5", "code"]) as prepared:
        for names in (["math", "code"], ["math#0.5", "code"]):
            merged = files.read(
                build_merge(workspace, request_merge(workspace, names, options, base)).artifact.path
            )
            deltas = prepared.apply(build_method("tsv_m"), {"code": 0.5}, scale=0.8, of=names)
            for name, delta in deltas.items():
                torch.testing.assert_close(start[name] + delta.dense(), merged[name])
    with pytest.raises(UsageError, match="the same specialist as another source"):
        candidates(workspace, ["math", "math#1"])
    kept = list(workspace.store.root.glob("sidecars/*/cores-*.safetensors"))
    assert len(kept) == 3, "the plateaus in either order, the snapshot, and both"
