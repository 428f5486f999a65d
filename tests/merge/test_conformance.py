"""mergekit's files give mergekit's results: the grid with its table, random methods in
distribution, other architectures, and what stands beside the weights.
"""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from additive.deltas.model import tiles
from additive.errors import SpecError
from additive.merge.mergekit.engine import execute_kit
from tests.deltas import tiny
from tests.merge import files
from tests.merge.conformance import (
    EXACT,
    MODELS,
    RANDOM,
    Zoo,
    by_mergekit,
    by_ours,
    distance,
    make_zoo,
    planned,
)

CLOSE = 1e-5
DRAWS = 4
LINEAR = f"merge_method: linear\n{MODELS}\nparameters: {{{{weight: [0.5, 1.0]}}}}"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return make_zoo(tmp_path_factory.mktemp("zoo"))


def test_the_grid(zoo, tmp_path):
    print(f"\n{'mergekit file':32} {'largest difference':>18}")
    far = []
    for number, (name, template) in enumerate(EXACT.items()):
        text = zoo.text(template)
        ours = by_ours(zoo, text, tmp_path / f"ours{number}")
        found = distance(ours, by_mergekit(zoo, text, tmp_path / f"theirs{number}"))
        print(f"{name:32} {found:18.1e}")
        far += [] if found <= CLOSE else [name]
    assert not far


def test_random_methods_in_distribution(zoo, tmp_path):
    """The same sizes and the same pull towards the sources, over a few draws of each."""
    print(f"\n{'random method':32} {'ours: mean |Δ|, rms Δ':>24} {'mergekit':>20}")
    base = tiny.load(zoo.places["base"]).state_dict()
    for name, template in RANDOM.items():
        text = zoo.text(template)
        ours = [by_ours(zoo, text, tmp_path / f"{name}-o{n}", n) for n in range(DRAWS)]
        theirs = [by_mergekit(zoo, text, tmp_path / f"{name}-m{n}", n) for n in range(DRAWS)]
        assert name == "arcee_fusion" or distance(ours[0], ours[1]) > 0
        found, wanted = _moments(ours, base), _moments(theirs, base)
        print(f"{name:32} {found[0]:12.5f}{found[1]:12.5f} {wanted[0]:10.5f}{wanted[1]:10.5f}")
        assert found == pytest.approx(wanted, rel=0.03)


def _moments(results, base):
    moved = torch.cat([(r[n] - base[n]).flatten() for r in results for n in sorted(r)])
    return moved.abs().mean().item(), moved.square().mean().sqrt().item()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Models of two tensors of one shape, each of several tiles."""
    root, shape = tmp_path_factory.mktemp("large"), (3, 2000, 90)
    assert len(list(tiles(shape))) > 1
    places = {}
    for seed, name in enumerate(("base", "a", "b", "lora")):
        tensors = files.values(seed, {f"{x}.weight": shape for x in "xy"})
        places[name] = files.write_model(root / name, tensors)
    return Zoo(root, places)


@pytest.mark.parametrize("method", ["linear", "task_arithmetic", "ties", "sce", "model_stock"])
def test_a_tensor_of_several_tiles_is_merged_as_a_whole(large, tmp_path, method):
    """Only what works element by element may be computed in blocks."""
    from mergekit.merge_methods import merge_tensors

    own = {
        "ties": {"density": 0.1},
        "sce": {"select_topk": 0.1},
    }.get(method, {})
    said = "".join(f"{key}: {value}, " for key, value in own.items())
    weight = "" if method in ("sce", "model_stock") else "weight: 0.6"
    text = large.text(
        f"merge_method: {method}\nbase_model: {{base}}\nmodels: [{{{{model: {{a}}}}}},"
        f" {{{{model: {{b}}}}}}, {{{{model: {{base}}}}}}]\nparameters: {{{{{said}{weight}}}}}"
    )
    ours = by_ours(large, text, tmp_path / "o")
    inputs = [files.read(large.places[name]) for name in ("a", "b", "base")]
    weights = {"weight": dict.fromkeys((0, 1, 2), 0.6)} if weight else {}
    for name, found in ours.items():
        expected = merge_tensors(
            [tensors[name] for tensors in inputs],
            method,
            parameters={**own, **weights},
            ids=[0, 1, 2],
            base_index=2,
        )
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_two_tensors_draw_apart(large, tmp_path):
    places, shape = dict(large.places), (300, 200)
    for name, value in (("base", 0.0), ("a", 1.0)):
        tensors = {f"{x}.weight": torch.full(shape, value) for x in "xy"}
        places[name] = files.write_model(tmp_path / name, tensors)
    zoo = Zoo(tmp_path, places)
    text = "merge_method: dare_linear\nbase_model: {base}\nmodels: [{{model: {a}}}]\n"
    text += "parameters: {{weight: 1.0, density: 0.5}}"
    found = by_ours(zoo, zoo.text(text), tmp_path / "out")
    same = ((found["x.weight"] != 0) == (found["y.weight"] != 0)).float().mean()
    assert same.item() == pytest.approx(0.5, abs=0.02)


def test_stacked_layers_lie_in_files_of_bounded_size(zoo, tmp_path, monkeypatch):
    text = zoo.text(EXACT["passthrough, stacked layers"])
    whole = by_ours(zoo, text, tmp_path / "one")
    monkeypatch.setattr("additive.merge.mergekit.plan._SHARD_BYTES", 60_000)
    parts = by_ours(zoo, text, tmp_path / "many")
    assert distance(parts, whole) == 0
    sizes = [p.stat().st_size for p in (tmp_path / "many").glob("model-*-of-*.safetensors")]
    assert len(sizes) > 2
    assert max(sizes) < 60_000 + 10_000
    tiny.load(tmp_path / "many")


def test_a_recipe_goes_by_what_its_models_are_not_by_where_they_lie(zoo, tmp_path):
    moved = {name: tmp_path / path.name for name, path in zoo.places.items()}
    for name, path in zoo.places.items():
        shutil.copytree(path, moved[name])
    text = f"{EXACT['ties']}\ntokenizer_source: '{{a}}'"
    here, there = (planned(each, each.text(text)) for each in (zoo, Zoo(tmp_path, moved)))
    assert here.recipe.resolved() == there.recipe.resolved()
    assert here.digest == there.digest


def test_a_seed_gives_the_same_bits_on_any_number_of_threads(zoo, tmp_path):
    text = zoo.text(RANDOM["della"])
    results = []
    for workers in (1, 4):
        out = tmp_path / str(workers)
        out.mkdir()
        results.append(execute_kit(planned(zoo, text, 5), out, workers=workers).weights)
    assert results[0] == results[1]


@pytest.mark.parametrize(("family", "tied"), [("llama", True), ("gpt2", True)])
def test_other_architectures(tmp_path, family, tied):
    zoo = make_zoo(tmp_path / "zoo", family, tied)
    text = zoo.text(LINEAR)
    ours, theirs = by_ours(zoo, text, tmp_path / "o"), by_mergekit(zoo, text, tmp_path / "m")
    assert distance({n: t for n, t in ours.items() if n in theirs}, theirs) <= CLOSE
    tiny.load(tmp_path / "o")


def test_the_output_has_the_layers_and_the_numbers_that_it_was_asked_for(zoo, tmp_path):
    text = zoo.text(EXACT["passthrough, stacked layers"])
    by_ours(zoo, text + "\ndtype: float32\nout_dtype: bfloat16", tmp_path / "o")
    config = json.loads((tmp_path / "o" / "config.json").read_text())
    assert config["num_hidden_layers"] == 7
    assert config["dtype"] == "bfloat16"
    assert len(tiny.load(tmp_path / "o").model.layers) == 7
    assert (tmp_path / "o" / "tokenizer.json").is_file()


@pytest.mark.parametrize("source", ["union", "base", "{a}"])
def test_one_vocabulary_has_one_tokenizer(zoo, tmp_path, source):
    text = zoo.text(f"{LINEAR}\ntokenizer_source: '{source}'")
    ours, theirs = by_ours(zoo, text, tmp_path / "o"), by_mergekit(zoo, text, tmp_path / "m")
    assert distance(ours, theirs) <= CLOSE
    written, own = (
        json.loads((place / "tokenizer.json").read_text())["model"]["vocab"]
        for place in (tmp_path / "o", tmp_path / "m")
    )
    assert written == own


def test_a_padded_vocabulary_is_not_cut(tmp_path):
    zoo = make_zoo(tmp_path / "zoo")
    path = zoo.places["base"] / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "vocab_size": config["vocab_size"] + 3}))
    with pytest.raises(SpecError, match=r"merge.yaml:4:19: tokenizer_source would change .* rows"):
        planned(zoo, zoo.text(f"{LINEAR}\ntokenizer_source: union"))


def test_chat_templates_by_name_and_by_text(zoo, tmp_path):
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    for number, said in enumerate(("chatml", f'"{template}"', "auto")):
        text = f"{zoo.text(LINEAR)}\nchat_template: {said}"
        by_ours(zoo, text, tmp_path / str(number))
    texts = [(tmp_path / str(n) / "chat_template.jinja").read_text() for n in range(3)]
    assert "<|im_start|>" in texts[0]
    assert texts[1] == template
    assert texts[2] == (zoo.places["base"] / "chat_template.jinja").read_text()


def test_a_template_of_the_tokenizers_own_config_does_not_stand_beside_the_one_asked_for(tmp_path):
    from transformers import AutoTokenizer

    zoo = make_zoo(tmp_path / "zoo")
    for name in ("base", "a", "b"):
        (zoo.places[name] / "chat_template.jinja").unlink()
        files.configure(zoo.places[name], "tokenizer_config.json", chat_template="the old one")
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    by_ours(zoo, f'{zoo.text(LINEAR)}\nchat_template: "{template}"', tmp_path / "o")
    assert AutoTokenizer.from_pretrained(tmp_path / "o").chat_template == template
    config = json.loads((tmp_path / "o" / "tokenizer_config.json").read_text())
    assert "chat_template" not in config


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            f"{LINEAR}\ntokenizer: {{{{source: base, pad_to_multiple_of: 8}}}}",
            r"tokenizer.source would change the embedding from 261 to 264 rows",
        ),
        (
            "merge_method: linear\nmodels: [{{model: {a}}}, {{model: {a}}}]",
            r"occurs twice when each model should occur once",
        ),
        (
            "merge_method: linear\nslices:\n  - sources: [{{model: {a}, layer_range: [0, 2]}},"
            " {{model: {a}, layer_range: [2, 4]}}]",
            r"occurs twice when each model should occur once",
        ),
        (
            "merge_method: linear\nslices:\n  - sources: [{{model: {a}, layer_range: [0, 2]}},"
            " {{model: {b}, layer_range: [1, 4]}}]",
            r"the sources of a slice have different numbers of layers",
        ),
        (
            "merge_method: passthrough\nslices:\n  - sources:"
            " [{{model: {a}, layer_range: [2, 2]}}]",
            r"expected a range that rises",
        ),
        (
            "merge_method: tiess\n" + MODELS,
            r"merge.yaml:1:15: unknown method of mergekit 'tiess'; did you mean 'ties'\?",
        ),
        (
            "merge_method: slerp\nbase_model: {base}\n" + MODELS,
            r"merge.yaml:1:15: mergekit/slerp: .*exactly 2 inputs; got 4",
        ),
        (
            f"merge_method: linear\n{MODELS}\nparameters: {{{{weigth: 1}}}}",
            r"merge.yaml:3:14: unknown parameter 'weigth' of mergekit/linear; did you mean",
        ),
        (
            f"merge_method: linear\n{MODELS}\nparameters: {{{{weight: [a, b]}}}}",
            r"merge.yaml:3:22: weight is \['a', 'b'\]; expected a float",
        ),
        (
            f"merge_method: linear\n{MODELS}\nparameters: {{{{weight: {{{{filtre: x}}}}}}}}",
            r"merge.yaml:3:22: weight is .*; expected a value, a list over the layers",
        ),
        (
            f"merge_method: linear\n{MODELS}",
            r"merge.yaml:1:15: weight of .* is missing for lm_head",
        ),
        (f"{LINEAR}\nchat_template: chatlm", r"merge.yaml:4:16: .* did you mean 'chatml'"),
        (f"{LINEAR}\ntokenizer_source: onion", r"merge.yaml:4:19: .* did you mean 'union'"),
        (
            f"{LINEAR}\ntokenizer: {{{{tokens: {{{{}}}}}}}}",
            r"merge.yaml:4:13: unknown key 'tokens'",
        ),
        (f"{LINEAR}\nout_shard_size: 5B", r"merge.yaml:4:1: unknown key 'out_shard_size'"),
        ("merge_method: linear\nmodules: {{}}", r"modules is not executed here"),
        (
            "merge_method: passthrough\nslices:\n  - sources:"
            " [{{model: {a}, layer_range: [2, 6]}}]",
            r"merge.yaml:3:\d+: layer_range ends at 6; the base has 4 layers",
        ),
    ],
)
def test_what_cannot_be_executed_is_refused_at_its_place(zoo, template, message):
    with pytest.raises(SpecError, match=message):
        planned(zoo, zoo.text(template))
