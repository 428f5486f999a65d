"""What the configuration says was trained and the file does not hold is refused by name."""

from __future__ import annotations

import pytest

from additive.deltas.base import open_base
from additive.deltas.open import open_deltas
from additive.errors import CompatibilityError
from tests.deltas import tiny
from tests.deltas.kinds import PLAIN
from tests.merge import files

BIASED = {**PLAIN, "target_modules": ["q_proj"]}
# Family, configuration, the end of the names that get lost, what is said.
LOST = {
    "a whole module": (
        "llama", {**PLAIN, "modules_to_save": ["lm_head"]},
        "lm_head.weight", "lm_head.weight is not in the file, but modules_to_save says",
    ),
    "one of many": (
        "llama", {**PLAIN, "modules_to_save": ["norm"]},
        "layers.1.input_layernorm.weight", "layers.1.input_layernorm.weight is not in the file",
    ),
    "a part of one": (
        "llama", {**PLAIN, "target_modules": ["q_proj"], "modules_to_save": ["mlp"]},
        "layers.0.mlp.down_proj.weight", "layers.0.mlp.down_proj.weight is not in the file",
    ),
    "every bias": ("qwen", {**BIASED, "bias": "all"}, ".bias", "but bias: all says"),
    "one bias": ("qwen", {**BIASED, "bias": "all"}, "0.self_attn.k_proj.bias", "0.self_attn.k_pro"),
    "a bias of what is adapted": (
        "qwen", {**BIASED, "bias": "lora_only"}, "1.self_attn.q_proj.base_layer.bias",
        "1.self_attn.q_proj.bias is not in the file, but bias: lora_only",
    ),
    "trained tokens": (
        "llama", {**PLAIN, "trainable_token_indices": [3]}, "trainable_tokens_delta",
        "a row of the embedding is not in the file, but trainable_token_indices",
    ),
    "tokens of a module": (
        "llama", {**PLAIN, "trainable_token_indices": {"embed_tokens": [3], "lm_head": [4]}},
        "lm_head.token_adapter.trainable_tokens_delta", "a row of lm_head is not in the file",
    ),
    "the factors' bias": (
        "qwen", {**BIASED, "lora_bias": True}, "0.self_attn.q_proj.lora_B.bias",
        "layers.0.self_attn.q_proj.lora_B.bias is not in the file, but lora_bias",
    ),
}  # fmt: skip


def _open(adapter, base):
    return open_deltas(adapter, open_base(base), "a", "0" * 64)


@pytest.mark.parametrize("kind", LOST)
def test_what_is_lost_is_named(tmp_path, kind):
    family, config, ending, said = LOST[kind]
    base = tiny.save_base(tmp_path / "base", family)
    adapter = tiny.save_adapter(tmp_path / "adapter", base, **config)
    assert _open(adapter, base).parameters()
    gone = [name for name in files.read(adapter) if name.endswith(ending)]
    assert gone

    files.edit(adapter, lambda tensors: [tensors.pop(name) for name in gone])
    with pytest.raises(CompatibilityError, match=said) as caught:
        _open(adapter, base)
    assert "the file is incomplete" in str(caught.value.help)


def test_a_name_that_the_base_has_nothing_of_is_no_loss(tmp_path):
    """PEFT writes `classifier` and `score` for every sequence classifier."""
    base = files.write_base(tmp_path / "base")
    adapter = files.write_lora(tmp_path / "lora", 1, modules_to_save=["classifier", "score"])
    assert _open(adapter, base).parameters()


def test_a_causal_mask_is_no_bias(tmp_path):
    """The Hub's gpt2 stores its mask as `h.0.attn.bias`."""
    import torch

    config = {"r": 4, "target_modules": ["c_attn"], "bias": "all"}
    base = tiny.save_base(tmp_path / "base", "gpt2")
    adapter = tiny.save_adapter(tmp_path / "adapter", base, **config)
    mask = {"transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8).tril()}
    files.edit(base, lambda tensors: tensors.update(mask), "model.safetensors")
    assert _open(adapter, base).parameters()
