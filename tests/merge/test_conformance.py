"""mergekit's files give mergekit's results: the grid with its table, random methods in
distribution, other architectures, and what stands beside the weights.
"""

from __future__ import annotations

import json

import pytest
import torch

from additive.errors import SpecError
from additive.merge.kit.engine import execute_kit
from tests.deltas import tiny
from tests.merge.conformance import (
    EXACT,
    MODELS,
    RANDOM,
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


@pytest.mark.parametrize(
    ("template", "message"),
    [
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
            r"merge.yaml:3:22: weight is \['a', 'b'\] when it should be a float",
        ),
        (
            f"merge_method: linear\n{MODELS}\nparameters: {{{{weight: {{{{filtre: x}}}}}}}}",
            r"merge.yaml:3:22: weight is .* when it should be a value, a list over the layers",
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
            r"merge.yaml:3:\d+: layer_range ends at 6 when the base has 4 layers",
        ),
    ],
)
def test_what_cannot_be_executed_is_refused_at_its_place(zoo, template, message):
    with pytest.raises(SpecError, match=message):
        planned(zoo, zoo.text(template))
