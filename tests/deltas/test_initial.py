"""Adapters that started from a part of the base are merged into the base as it was published."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from additive.deltas.base import open_base
from additive.deltas.source import open_deltas
from additive.errors import CompatibilityError
from tests.deltas import tiny
from tests.merge import files
from tests.merge.making import merge, recipe, source

CONFIG = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "up_proj"]}


def _train(root, init, **settings):
    """A base, an adapter trained from such a start with its start beside it, the model's logits."""
    base, directory = tiny.save_base(root / "base", "llama"), root / "adapter"
    model = tiny.load(base)
    adapted = get_peft_model(
        model,
        LoraConfig(task_type="CAUSAL_LM", init_lora_weights=init, **(CONFIG | settings)),
    )
    adapted.save_pretrained(directory / f"{init.partition('_')[0]}_init")
    torch.manual_seed(3)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    adapted.save_pretrained(directory)
    return base, directory, adapted.eval()


@pytest.mark.parametrize("init", ["pissa", "olora"])
@pytest.mark.parametrize("rslora", [False, True])
def test_the_merge_is_the_model_that_was_trained(tmp_path, init, rslora):
    base, adapter, trained = _train(tmp_path, init, use_rslora=rslora)
    expected = tiny.logits(trained)
    merge(tmp_path / "out", base, recipe(source(adapter)))
    ours = tiny.load(tmp_path / "out")
    theirs = trained.merge_and_unload().state_dict()
    for name, tensor in ours.state_dict().items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(tiny.logits(ours), expected, rtol=1e-4, atol=1e-4)
    opened = open_deltas(adapter, open_base(base), "a", "0" * 64)
    assert opened.rank("model.layers.0.self_attn.q_proj.weight") == 8


def test_without_or_with_another_start_it_is_refused(tmp_path):
    base, adapter, _ = _train(tmp_path, "pissa")
    start = adapter / "pissa_init"
    files.edit(start, lambda t: t.pop(next(iter(t))))
    with pytest.raises(CompatibilityError, match="initial factors have other names"):
        open_deltas(adapter, open_base(base), "a", "0" * 64)
    start.rename(adapter / "elsewhere")
    with pytest.raises(CompatibilityError, match="changed") as caught:
        open_deltas(adapter, open_base(base), "a", "0" * 64)
    assert "pissa_init/" in caught.value.help
