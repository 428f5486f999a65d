"""An audit measures what the deltas are, and refuses what does not fit the base, by name."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from additive.adopt import audit, recognise
from additive.deltas.base import open_base
from additive.deltas.model import tiles
from additive.deltas.open import open_deltas
from additive.errors import CompatibilityError, IntegrityError, SecurityError
from additive.types.digests import digest_json
from tests.merge import files


@pytest.fixture
def base(tmp_path):
    return files.write_base(tmp_path / "base")


@pytest.fixture
def lora(tmp_path):
    return files.write_lora(tmp_path / "lora", 1, size=0.03)


def _audit(directory, base, *accept):
    return audit(recognise(directory), base, "math", accept)


def _change(directory, change):
    """Rewrite the adapter's tensors."""
    path = directory / "adapter_model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in files.read(directory).items()}
    save_file(change(tensors), path, {"format": "pt"})


def test_the_ratio_is_that_of_the_dense_deltas(base, lora):
    found = _audit(lora, base)
    opened = open_base(base)
    source = open_deltas(lora, opened, "math", digest_json("math"))
    deltas = [source.delta(name).dense().double() for name in found.norms]
    weights = [opened.tensor(name).double() for name in found.norms]
    expected = math.sqrt(sum(d.square().sum() for d in deltas)) / math.sqrt(
        sum(w.square().sum() for w in weights)
    )
    assert found.ratio == pytest.approx(expected, rel=1e-4)
    assert found.parameters == len(files.ADAPTED)
    assert (found.adapt["kind"], found.adapt["rank"], found.layers) == ("lora", 4, 2)
    assert found.modules == ("down_proj", "up_proj", "q_proj")


def test_the_ratio_of_a_large_matrix_is_estimated_from_a_few_tiles(tmp_path):
    weights = torch.randn(4000, 700, generator=torch.Generator().manual_seed(0))
    assert len(list(tiles(tuple(weights.shape)))) > 8
    name = "model.layers.0.mlp.up_proj.weight"
    large = files.write_model(tmp_path / "large", {name: weights})
    moved = files.write_model(tmp_path / "moved", {name: weights + 0.01})
    expected = 0.01 * math.sqrt(weights.numel()) / weights.norm().item()
    assert _audit(moved, large).ratio == pytest.approx(expected, rel=5e-3)


def test_a_full_fine_tune_is_audited_alike(tmp_path, base):
    full = files.write_fine_tune(tmp_path / "full", base, 2)
    found = _audit(full, base)
    assert found.adapt == {"kind": "full"}
    assert found.parameters == len(files.SHAPES)


def test_what_was_not_trained_is_refused(base, lora):
    _change(lora, lambda t: {n: x * 0 if "lora_B" in n else x for n, x in t.items()})
    with pytest.raises(IntegrityError, match="delta is zero in every parameter"):
        _audit(lora, base, "norm")


@pytest.mark.parametrize("factor", [1e4, 1e-6])
def test_an_implausible_size_is_refused_or_accepted_by_name(base, lora, factor):
    _change(lora, lambda t: {n: x * factor if "lora_B" in n else x for n, x in t.items()})
    for others in ((), ("template", "vocabulary")):
        with pytest.raises(
            IntegrityError, match=r"times as large as the weights it changes; 1e-06"
        ):
            _audit(lora, base, *others)
    (note,) = _audit(lora, base, "norm").accepted
    assert "times as large" in note


def test_nan_is_named(base, lora):
    def poison(tensors):
        name = sorted(tensors)[0]
        tensors[name][0, 0] = float("nan")
        return tensors

    _change(lora, poison)
    with pytest.raises(IntegrityError, match=r"tensor base_model\S+lora_A.weight holds NaN"):
        _audit(lora, base)


def test_a_factor_alone_another_shape_and_another_vocabulary_are_refused(tmp_path, base, lora):
    other = files.write_model(tmp_path / "other", files.values(3) | {
        "model.embed_tokens.weight": torch.zeros(96, 24),
        "lm_head.weight": torch.zeros(96, 24),
    })  # fmt: skip
    with pytest.raises(CompatibilityError, match="96 tokens; the base has 80: another vocab"):
        _audit(other, base)
    wide = "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"
    _change(lora, lambda t: t | {wide: torch.ones(704, 4)})
    with pytest.raises(
        CompatibilityError, match=r"up_proj.weight has shape \[700, 24\]; the factors"
    ):
        _audit(lora, base)
    _change(lora, lambda t: {n: x for n, x in t.items() if n != wide})
    with pytest.raises(CompatibilityError, match="up_proj has lora_A and no lora_B"):
        _audit(lora, base)


def test_padding_is_accepted_by_name_and_said(tmp_path, base):
    padded = {"model.embed_tokens.weight": (96, 24), "lm_head.weight": (96, 24)}
    tensors = files.values(0) | files.values(3, padded)
    other = files.write_model(tmp_path / "other", tensors, vocab_size=96)
    (note,) = _audit(other, base, "vocabulary").accepted
    assert note.startswith("embedding has 96 rows; the base has 80")
    assert _audit(files.write_fine_tune(tmp_path / "f", base, 1), base, "vocabulary").accepted == ()


def test_code_in_a_models_config_is_refused(tmp_path, base):
    full = files.write_fine_tune(tmp_path / "full", base, 2)
    config = json.loads((full / "config.json").read_text())
    (full / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "x.Y"}}))
    with pytest.raises(SecurityError, match="auto_map"):
        _audit(full, base)


def test_another_template_is_refused_unless_accepted(base, lora):
    (base / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert _audit(lora, base).accepted == ()
    (lora / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert _audit(lora, base).accepted == ()
    (lora / "chat_template.jinja").write_text("be evil {{ messages[0].content }}")
    with pytest.raises(CompatibilityError, match=r"chat template is \w{8}; the base has \w{8}"):
        _audit(lora, base, "vocabulary")
    (note,) = _audit(lora, base, "template").accepted
    assert note.startswith("chat template is")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": {"vocab": {"a": 0, "b": 1}}}, "vocabulary has 1 token ('b') more and no tokens"),
        ({"model": {"vocab": {"a": 1}}}, "vocabulary gives 1 token ('a') another id"),
        (
            {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1, "content": "<pad>"}]},
            "vocabulary has 1 token ('<pad>') more",
        ),
    ],
)
def test_another_vocabulary_is_refused_unless_accepted(base, lora, content, said):
    (lora / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CompatibilityError) as caught:
        _audit(lora, base)
    assert said in str(caught.value)
    (note,) = _audit(lora, base, "vocabulary").accepted
    assert said in note


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2'; the base has 'llama'"),
        ({"num_hidden_layers": 99_999_999}, "num_hidden_layers is 99999999; the base has"),
        ({"hidden_size": -1}, "hidden_size is -1; the base has"),
        ({"num_attention_heads": [2]}, r"num_attention_heads is \[2\]; the base has"),
        ({"dtype": "__import__('os')"}, "dtype is .*; expected float32"),
        ({"torch_dtype": {"": "float8"}}, "torch_dtype is .*; expected float32"),
    ],
)
def test_a_checkpoint_whose_config_describes_another_model_is_refused(tmp_path, base, change, said):
    full = files.write_fine_tune(tmp_path / "full", base, 1)
    shape = {"num_hidden_layers": 2, "hidden_size": 24, "num_attention_heads": 2}
    for folder in (base, full):
        files.configure(folder, "config.json", model_type="llama", **shape)
    files.configure(full, "config.json", head_dim=None, num_key_value_heads=2, dtype=None)
    files.configure(base, "config.json", head_dim=12, num_key_value_heads=None)
    assert _audit(full, base).adapt == {"kind": "full"}
    files.configure(full, "config.json", **change)
    with pytest.raises(CompatibilityError, match=said):
        _audit(full, base)
