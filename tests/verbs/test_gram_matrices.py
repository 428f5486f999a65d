"""RegMean end to end: Grams from the domains' own rows, kept in sidecars, the merge they give."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from additive.deltas.base import open_base
from additive.errors import CompatibilityError, UsageError
from additive.merge.methods.regmean import RegMean
from additive.merge.plan import plan
from additive.merge.sources import input_directions, open_sources
from additive.models.gram_matrices import input_grams
from additive.models.loading import load_specialist, load_tokenizer
from additive.models.template import encode
from additive.verbs.candidates import candidates
from additive.workspace.workspace import Workspace
from tests.deltas import tiny
from tests.e2e.command import run_here
from tests.merge import files
from tests.merge.making import recipe, source
from tests.oracles import papers
from tests.verbs.making import make_adapters, system_of

MODULE = "model.layers.1.mlp.up_proj"
STEM = f"base_model.model.{MODULE}"
SAID = ("--method", "regmean", "--scale", "1", "--output", "adapter", "--no-check")
ROWS = {
    "math": [{"prompt": f"{n}+{n}=", "completion": str(2 * n)} for n in range(9)],
    "code": [{"prompt": f"upper('a{n}')", "completion": f"'A{n}'"} for n in range(7)],
}


@pytest.fixture
def root(tmp_path, bases):
    return make_adapters(tmp_path / "work", bases(), ROWS).root


def _seen(workspace, name, directory):
    """The inputs of one module on a domain's rows, token by token, by hand."""
    base = workspace.base_directory()
    model, tokenizer = load_specialist(base, directory), load_tokenizer(base)
    rows, inputs = ROWS[name], []
    model.get_submodule(MODULE).register_forward_pre_hook(
        lambda module, given: inputs.append(given[0][0].double())
    )
    prompts, answers = ([row[key] for row in rows] for key in ("prompt", "completion"))
    with torch.no_grad():
        for example in encode(tokenizer, prompts, answers, system_of(name)):
            model(input_ids=torch.tensor([list(example.ids)]))
    return torch.cat(inputs).numpy()


def _expected(workspace, snapshot):
    """The least-squares solution of one module; of math its snapshot, where one is meant."""
    artifacts = sorted((workspace.store.resolve(name) for name in ROWS), key=lambda a: a.digest)
    places = [a.snapshot_path(snapshot if a.name == "math" else None) for a in artifacts]
    inputs = [_seen(workspace, a.name, p) for a, p in zip(artifacts, places, strict=True)]
    factors = [files.read(place) for place in places]
    A, B = ([f[f"{STEM}.lora_{x}.weight"].double().numpy() for f in factors] for x in ("A", "B"))
    dense = [8 / 3 * b @ a for a, b in zip(A, B, strict=True)]
    basis = np.linalg.qr(np.vstack(A).T)[0]
    return papers.regmean(dense, (1.0, 1.0), inputs, basis, 0.9, 1e-6)


def _merged(document):
    made = files.read(files.Path(document["path"]))
    return (made[f"{STEM}.lora_B.weight"].double() @ made[f"{STEM}.lora_A.weight"].double()).numpy()


def test_a_merge_is_the_least_squares_solution_on_the_domains_own_rows(root, capsys):
    plan = run_here(capsys, root, "merge", "math", "code", *SAID, "--plan")
    assert plan.code == 0, plan.err
    assert "2 sources would read up to 256 of their training prompts first" in plan.out
    for name, snapshot in (("math", None), ("math#0.5", 0.5)):
        built = run_here(capsys, root, "merge", name, "code", *SAID, "--json")
        assert built.code == 0, built.err
        assert "sees on its training prompts" in built.err, "a snapshot has Grams of its own"
        expected = _expected(Workspace(root), snapshot)
        found = _merged(built.json)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_candidates_weigh_what_the_domains_saw_as_a_merge_does(root, capsys):
    workspace, name = Workspace(root), f"{MODULE}.weight"
    with candidates(workspace, ["code", "math#0.5"], grams=True) as prepared:
        found = prepared.apply("regmean")[name].dense(torch.float64).numpy()
        half = prepared.apply(RegMean(reduction=0.5), {"code": 2.0})[name].dense().numpy()
        with pytest.raises(UsageError, match="1 of 2 prepared sources are merged"):
            prepared.apply("regmean", of=["code"])
    expected = _expected(workspace, 0.5)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert not np.allclose(half, found, atol=1e-3 * np.abs(expected).max())
    built = run_here(capsys, root, "merge", "math#0.5", "code", *SAID, "--json")
    assert "sees on its training prompts" not in built.err, "the Grams are those of a merge"
    np.testing.assert_allclose(found, _merged(built.json), atol=1e-6 * np.abs(expected).max())
    with (
        candidates(workspace, ["code", "math"]) as prepared,
        pytest.raises(UsageError, match="has no Gram matrices"),
    ):
        prepared.apply("regmean")


def test_grams_are_computed_once_and_again_for_other_rows(root, capsys):
    said = ("merge", "math", "code", *SAID, "--json")
    built = run_here(capsys, root, *said)
    again = run_here(capsys, root, *said, "--set", "ridge=0.1")
    assert "sees on its training prompts" not in again.err, "the Grams are there already"
    assert again.json["digest"] != built.json["digest"]
    (root / "domains" / "math" / "train.jsonl").write_text(
        json.dumps({"prompt": "1+1=", "completion": "2"}) + "\n"
    )
    changed = run_here(capsys, root, *said)
    assert "sees on its training prompts" in changed.err, "other rows, other Grams"
    assert not changed.json["reused"] and changed.json["digest"] != built.json["digest"]


@pytest.mark.parametrize("target", ["h.1.attn.c_proj", "wte"])
def test_where_inputs_meet_rows_it_is_the_same_transposed(tmp_path, target):
    """Conv1D (square, so that no shape tells) and an embedding, against dense least squares."""
    base = tiny.save_base(tmp_path / "base", "gpt2")
    config = {"r": 3, "target_modules": [target]}
    adapters = [tiny.save_adapter(tmp_path / n, base, seed=len(n), **config) for n in ("a", "bb")]
    sources = [source(adapter) for adapter in adapters]
    opened = open_sources(recipe(*sources), open_base(base))
    ((name, (module, D)),) = input_directions(opened).items()
    model, tokens = tiny.load(base), [[3, 9, 9, 41], [7, 7, 70]]
    seen = [_seen_of(model, module, tokens[:1]), _seen_of(model, module, tokens[1:])]
    grams = [input_grams(model, [ids], {module: D})[module] for ids in tokens]
    for inputs, gram in zip(seen, grams, strict=True):
        along = inputs @ D.double().numpy().T
        np.testing.assert_allclose(gram, along.T @ along / len(inputs), atol=1e-10)
    stack = replace(opened.stack(name, 0), grams=tuple(grams))
    found = RegMean().merge(stack).dense(torch.float64).numpy()
    dense = [delta.dense(torch.float64).numpy().T for delta in stack.deltas]
    basis = np.linalg.qr(D.double().numpy().T)[0]
    expected = papers.regmean(dense, (1.0, 1.0), seen, basis, 0.9, 1e-6).T
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def _seen_of(model, module, tokens):
    """A module's inputs, a token of an embedding as a row of the identity."""
    inputs = []
    place = model.get_submodule(module)
    hook = place.register_forward_pre_hook(lambda module, given: inputs.append(given[0].detach()))
    for ids in tokens:
        model(input_ids=torch.tensor([ids]))
    hook.remove()
    flat = torch.cat([one.reshape(-1, *one.shape[2:]) for one in inputs])
    return (torch.eye(80)[flat] if flat.dim() == 1 else flat).double().numpy()


def test_experts_whose_inputs_nobody_sees_are_refused_by_name(tmp_path):
    base = tiny.save_base(tmp_path / "base", "mixtral")
    experts = {"target_modules": [], "target_parameters": ["experts.down_proj"]}
    adapter = tiny.save_adapter(tmp_path / "one", base, r=2, **experts)
    with pytest.raises(CompatibilityError, match="nobody sees its inputs") as caught:
        plan(recipe(source(adapter), method="regmean"), base)
    assert "--rule" in str(caught.value.help)
    opened = open_sources(recipe(source(adapter)), open_base(base))
    assert input_directions(opened) == {}


def test_a_source_without_rows_is_refused(root, capsys):
    (root / "domains" / "math" / "domain.yaml").unlink()
    done = run_here(capsys, root, "merge", "math", "code", "--method", "regmean", "--no-check")
    assert done.code == 2
    assert "has no training rows here" in done.err and "train.jsonl" in done.err


def test_a_gram_is_that_of_all_tokens():
    torch.manual_seed(0)
    model = torch.nn.Module()
    model.embed, model.up = torch.nn.Embedding(7, 5), torch.nn.Linear(5, 4)
    model.forward = lambda input_ids: model.up(model.embed(input_ids))  # type: ignore[method-assign]
    D = torch.randn(3, 5)
    found = input_grams(model, [[0, 1, 2], [6]], {"up": D})["up"]
    X = model.embed.weight[[0, 1, 2, 6]].double()
    torch.testing.assert_close(found, D.double() @ X.T @ X @ D.T.double() / 4)
