"""Tokens that training added: their rows are in the adapter's copy of the embedding."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from additive.errors import CompatibilityError
from additive.models.attach import attach_adapter
from tests.deltas import tiny
from tests.merge import files
from tests.merge.making import merge, plan_of, recipe, source

NEW, TRAINED = 84, [3, 81, 82]


def _train(directory, base):
    """An adapter with four new tokens of which two are trained; the model as it was trained."""
    model = tiny.load(base)
    model.resize_token_embeddings(NEW, mean_resizing=False)
    torch.manual_seed(2)
    config = LoraConfig(
        task_type="CAUSAL_LM", target_modules=["q_proj"], trainable_token_indices=TRAINED
    )
    adapted = get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    adapted.save_pretrained(directory)
    return directory, tiny.logits(adapted.eval())


@pytest.mark.parametrize(("family", "tied"), [("llama", False), ("qwen", True)])
def test_trained_and_new_tokens_are_merged_as_they_were_trained(tmp_path, family, tied):
    base = tiny.save_base(tmp_path / "base", family, tied=tied)
    adapter, expected = _train(tmp_path / "adapter", base)
    with pytest.raises(CompatibilityError, match="has 84 tokens; the base has 80"):
        plan_of(base, adapter)
    merge(tmp_path / "out", base, recipe(source(adapter), vocabulary="extend"))
    merged = tiny.load(tmp_path / "out")
    assert merged.config.vocab_size == NEW
    assert bool(merged.config.tie_word_embeddings) == tied
    torch.testing.assert_close(tiny.logits(merged), expected, rtol=1e-4, atol=1e-5)
    asked = tiny.logits(attach_adapter(tiny.load(base), adapter))
    torch.testing.assert_close(asked, expected, rtol=1e-4, atol=1e-5)


def test_rows_that_the_base_has_stay_its_own(tmp_path):
    """The copy may be in smaller numbers than the base."""
    base = tiny.save_base(tmp_path / "base", "llama")
    adapter, _ = _train(tmp_path / "adapter", base)
    copy = "base_model.model.model.embed_tokens.token_adapter.base_layer.weight"
    files.edit(adapter, lambda t: t.update({copy: t[copy].bfloat16()}))
    merge(tmp_path / "out", base, recipe(source(adapter), vocabulary="extend"))
    first, ours = files.read(base), files.read(tmp_path / "out")
    embedding = "model.embed_tokens.weight"
    for row in set(range(80)) - set(TRAINED):
        assert torch.equal(ours[embedding][row], first[embedding][row])
