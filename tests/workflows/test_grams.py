"""RegMean end to end: Grams from the domains' own rows, kept in sidecars, the merge they give."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from additive.artifacts.manifest import ManifestDraft
from additive.models.loading import load_specialist, load_tokenizer
from additive.models.template import encode
from additive.workspace import Workspace
from additive.workspace.inputs import base_identity
from tests.deltas import tiny
from tests.e2e.bases import build_base
from tests.e2e.command import run_here
from tests.merge import files
from tests.oracles import papers

MODULE = "model.layers.1.mlp.up_proj"
ROWS = {
    "math": [{"prompt": f"{n}+{n}=", "completion": str(2 * n)} for n in range(9)],
    "code": [{"prompt": f"upper('a{n}')", "completion": f"'A{n}'"} for n in range(7)],
}


@pytest.fixture
def root(tmp_path):
    """A workspace with a small base and two frozen adapters with training rows."""
    base, root = build_base("llama", tmp_path / "base"), tmp_path / "work"
    root.mkdir()
    (root / "additive.yaml").write_text(
        f"version: 1\nbase: {{model: {base}}}\nmerge: {{scale: 1.0}}\n"
    )
    workspace = Workspace(root)
    identity = base_identity(workspace)
    for seed, (name, rows) in enumerate(ROWS.items(), start=1):
        domain = root / "domains" / name
        domain.mkdir(parents=True)
        (domain / "domain.yaml").write_text("version: 1\n")
        (domain / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (domain / "validation.jsonl").write_text(json.dumps(rows[0]) + "\n")
        with workspace.store.staging("specialist", name) as staged:
            tiny.save_adapter(staged, base, seed=seed, r=3, target_modules=["q_proj", "up_proj"])
            (staged / "README.md").unlink(missing_ok=True)
            draft = ManifestDraft(kind="specialist", name=name, base=identity)
            workspace.store.freeze(staged, draft)
    return root


def _seen(workspace, name):
    """The inputs of one module on a domain's rows, token by token, by hand."""
    artifact = workspace.store.resolve(name)
    base = workspace.base_directory()
    model, tokenizer = load_specialist(base, artifact.path), load_tokenizer(base)
    rows, inputs = ROWS[name], []
    model.get_submodule(MODULE).register_forward_pre_hook(
        lambda module, given: inputs.append(given[0][0].double())
    )
    prompts, answers = ([row[key] for row in rows] for key in ("prompt", "completion"))
    with torch.no_grad():
        for example in encode(tokenizer, prompts, answers, None):
            model(input_ids=torch.tensor([list(example.ids)]))
    return torch.cat(inputs).numpy()


def test_a_merge_computes_its_grams_once_and_is_the_least_squares_solution(root, capsys):
    said = ("merge", "math", "code", "--method", "regmean", "--output", "adapter", "--no-check")
    plan = run_here(capsys, root, *said, "--plan")
    assert plan.code == 0, plan.err
    assert "2 sources would read up to 256 of their training prompts first" in plan.out
    built = run_here(capsys, root, *said, "--json")
    assert built.code == 0, built.err
    assert "sees on its training prompts" in built.err
    workspace = Workspace(root)
    artifacts = sorted((workspace.store.resolve(name) for name in ROWS), key=lambda a: a.digest)
    inputs = [_seen(workspace, artifact.name) for artifact in artifacts]
    factors = [files.read(artifact.path) for artifact in artifacts]
    stem = f"base_model.model.{MODULE}"
    A, B = ([f[f"{stem}.lora_{x}.weight"].double().numpy() for f in factors] for x in ("A", "B"))
    scale = 8 / 3
    dense = [scale * b @ a for a, b in zip(A, B, strict=True)]
    basis = np.linalg.qr(np.vstack(A).T)[0]
    expected = papers.regmean(dense, (1.0, 1.0), inputs, basis, 0.9, 1e-6)
    made = files.read(files.Path(built.json["path"]))
    found = made[f"{stem}.lora_B.weight"].double() @ made[f"{stem}.lora_A.weight"].double()
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4 * np.abs(expected).max())

    other = (*said, "--set", "ridge=0.1", "--json")
    again = run_here(capsys, root, *other)
    assert "sees on its training prompts" not in again.err, "the Grams are there already"
    assert again.json["digest"] != built.json["digest"]
    (root / "domains" / "math" / "train.jsonl").write_text(
        json.dumps({"prompt": "1+1=", "completion": "2"}) + "\n"
    )
    changed = run_here(capsys, root, *said, "--json")
    assert "sees on its training prompts" in changed.err, "other rows, other Grams"
    assert not changed.json["reused"] and changed.json["digest"] != built.json["digest"]


def test_a_source_without_rows_is_refused(root, capsys):
    (root / "domains" / "math" / "domain.yaml").unlink()
    done = run_here(capsys, root, "merge", "math", "code", "--method", "regmean", "--no-check")
    assert done.code == 2
    assert "has no training rows here" in done.err and "train.jsonl" in done.err


def test_a_gram_is_that_of_all_tokens():
    from additive.models.grams import input_grams

    torch.manual_seed(0)
    model = torch.nn.Module()
    model.embed, model.up = torch.nn.Embedding(7, 5), torch.nn.Linear(5, 4)
    model.forward = lambda input_ids: model.up(model.embed(input_ids))  # type: ignore[method-assign]
    D = torch.randn(3, 5)
    found = input_grams(model, [[0, 1, 2], [6]], {"up": D})["up"]
    X = model.embed.weight[[0, 1, 2, 6]].double()
    torch.testing.assert_close(found, D.double() @ X.T @ X @ D.T.double() / 4)
