"""Full fine-tunes of bases that store more than transformers writes today, or less."""

from __future__ import annotations

import pytest
import torch

from additive.deltas.base import open_base
from additive.deltas.open import open_deltas
from additive.errors import CompatibilityError
from tests.deltas import tiny
from tests.merge import files
from tests.merge.making import merge, recipe, source

BUFFERS = {
    "gpt2": {
        "transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8).tril(),
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
    },
    "llama": {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)},
}


def _merged(out, base, tuned):
    merge(out, base, recipe(source(tuned)))
    torch.testing.assert_close(
        tiny.logits(tiny.load(out)), tiny.logits(tiny.load(tuned)), rtol=0, atol=0
    )


@pytest.mark.parametrize("family", BUFFERS)
@pytest.mark.parametrize("where", ["base", "tuned"])
def test_constants_that_only_one_side_stores_are_no_difference(tmp_path, family, where):
    """The Hub's gpt2 and old Llamas store masks and frequencies, which newer files leave out."""
    base = tiny.save_base(tmp_path / "base", family)
    tuned = tiny.save_fine_tune(tmp_path / "tuned", base)
    files.edit(tmp_path / where, lambda t: t.update(BUFFERS[family]), "model.safetensors")
    _merged(tmp_path / "out", base, tuned)


def test_a_head_that_the_base_stores_beside_what_it_is_tied_to(tmp_path):
    """Some tied bases store both; transformers writes a fine-tune of them without the head."""
    base = tiny.save_base(tmp_path / "base", "llama", tied=True)
    head = {"lm_head.weight": files.read(base)["model.embed_tokens.weight"].clone()}
    files.edit(base, lambda t: t.update(head), "model.safetensors")
    tuned = tiny.save_fine_tune(tmp_path / "tuned", base)
    assert "lm_head.weight" not in files.read(tuned)
    _merged(tmp_path / "out", base, tuned)
    files.configure(tuned, "config.json", tie_word_embeddings=False)
    with pytest.raises(CompatibilityError, match=r"lm_head.weight is in the base and not in"):
        open_deltas(tuned, open_base(base), "a", "0" * 64)


def test_two_tensors_of_one_parameter_are_refused(tmp_path):
    base = tiny.save_base(tmp_path / "base", "gpt2")
    tuned = tiny.save_fine_tune(tmp_path / "tuned", base)
    again = {"wpe.weight": torch.zeros(64, 32)}
    files.edit(tuned, lambda t: t.update(again), "model.safetensors")
    with pytest.raises(CompatibilityError, match=r"are both there for the base's transformer.wpe"):
        open_deltas(tuned, open_base(base), "a", "0" * 64)


@pytest.mark.parametrize("method", ["task_arithmetic", "della", "ties", "swudi", "ctm"])
def test_parameters_without_elements_are_no_difference(tmp_path, method):
    nothing = {"model.nothing.weight": torch.zeros(0, 4), "model.nothing.bias": torch.zeros(0)}
    base = files.write_base(tmp_path / "base")
    tuned = [files.write_fine_tune(tmp_path / f"tuned{i}", base, i) for i in (1, 2)]
    for model in (base, *tuned):
        files.edit(model, lambda t: t.update(nothing), "model.safetensors")
    merge(tmp_path / "out", base, recipe(*map(source, tuned), method=method, dtype="float16"))
    merged = files.read(tmp_path / "out")
    assert all(merged[name].shape == tensor.shape for name, tensor in nothing.items())
