"""Adapters that started from a part of the base are merged into the base as it was published."""

from __future__ import annotations

import json

import pytest
import torch
from peft import LoraConfig, LoraGAConfig, get_peft_model
from peft.tuners.lora import preprocess_loraga
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import preprocess_corda
from safetensors.torch import save_file

from additive.deltas.base import open_base
from additive.deltas.initial import converted
from additive.deltas.open import open_deltas
from additive.errors import CompatibilityError
from tests.deltas import tiny
from tests.merge import files
from tests.merge.making import merge, recipe, source

CONFIG = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "up_proj"]}


STARTS = ("pissa", "pissa_niter_4", "olora", "corda", "lora_ga")


def _start(model, init, **settings):
    """An adapted model as PEFT starts it."""
    config = LoraConfig(
        task_type="CAUSAL_LM",
        init_lora_weights=init,
        corda_config=CordaConfig() if init == "corda" else None,
        lora_ga_config=LoraGAConfig() if init == "lora_ga" else None,
        **(CONFIG | settings),
    )
    tokens = torch.arange(60).reshape(1, 60) % 79
    if init == "corda":
        preprocess_corda(model, config, run_model=lambda: model(input_ids=tokens))
    if init == "lora_ga":
        preprocess_loraga(
            model, config, lambda: model(input_ids=tokens, labels=tokens).loss.backward()
        )
    return get_peft_model(model, config)


def _train(root, init, **settings):
    """A base, an adapter trained from such a start with its start beside it, the model itself."""
    base, directory = tiny.save_base(root / "base", "llama"), root / "adapter"
    adapted = _start(tiny.load(base), init, **settings)
    adapted.save_pretrained(directory / f"{init.partition('_niter')[0]}_init")
    torch.manual_seed(3)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    adapted.save_pretrained(directory)
    return base, directory, adapted.eval()


@pytest.mark.parametrize("init", STARTS)
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


@pytest.mark.parametrize("rslora", [False, True])
def test_converted_it_is_a_plain_adapter_of_peft(tmp_path, rslora):
    """Its tensors and configuration mean on the published base what the start meant on its own."""
    patterns = {"rank_pattern": {"q_proj": 3}, "alpha_pattern": {"up_proj": 5}}
    base, adapter, trained = _train(tmp_path, "olora", use_rslora=rslora, **patterns)
    expected = tiny.logits(trained)
    tensors, config = converted(adapter)
    plain = tmp_path / "plain"
    plain.mkdir()
    save_file(tensors, plain / "adapter_model.safetensors", {"format": "pt"})
    (plain / "adapter_config.json").write_text(json.dumps(config))
    loaded = tiny.adapted_by_peft(base, plain)
    torch.testing.assert_close(tiny.logits(loaded), expected, rtol=1e-4, atol=1e-4)
    same = _deltas(plain, base), _deltas(adapter, base)
    assert same[0].keys() == same[1].keys()
    for name, delta in same[0].items():
        torch.testing.assert_close(delta, same[1][name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("init", ["corda", "lora_ga"])
def test_what_peft_converted_is_taken_as_it_is(tmp_path, init):
    """PEFT leaves `corda_config` and `lora_ga_config` in a converted adapter."""
    base, adapter, trained = _train(tmp_path, init)
    expected = tiny.logits(trained)
    trained.save_pretrained(
        tmp_path / "plain", path_initial_model_for_weight_conversion=str(adapter / f"{init}_init")
    )
    assert files.read_json(tmp_path / "plain", "adapter_config.json")[f"{init}_config"]
    merge(tmp_path / "out", base, recipe(source(tmp_path / "plain")))
    ours = tiny.logits(tiny.load(tmp_path / "out"))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def _deltas(adapter, base):
    opened = open_deltas(adapter, open_base(base), "a", "0" * 64)
    return {name: opened.delta(name).dense() for name in opened.parameters()}


@pytest.mark.parametrize("init", [*STARTS, "loftq"])
def test_a_start_that_is_not_there_is_named_with_the_mend(tmp_path, init):
    base = files.write_base(tmp_path / "base")
    adapter = files.write_lora(tmp_path / "lora", 1, init_lora_weights=init)
    with pytest.raises(CompatibilityError, match=f"init_lora_weights is '{init}'") as caught:
        open_deltas(adapter, open_base(base), "a", "0" * 64)
    folder = f"{init.partition('_niter')[0]}_init/"
    assert (folder in str(caught.value.help)) == (init != "loftq")


def test_without_or_with_another_start_it_is_refused(tmp_path):
    base, adapter, _ = _train(tmp_path, "pissa")
    start = adapter / "pissa_init"
    files.configure(adapter, use_dora=True)
    with pytest.raises(CompatibilityError, match="DoRA on an initialisation that changes the base"):
        open_deltas(adapter, open_base(base), "a", "0" * 64)
    files.configure(adapter, use_dora=False)
    first = next(iter(files.read(start)))
    files.edit(start, lambda t: t.update({first: t[first][:2].clone()}))
    with pytest.raises(CompatibilityError, match="initial factors have other names or shapes"):
        open_deltas(adapter, open_base(base), "a", "0" * 64)
    files.edit(start, lambda t: t.pop(first))
    with pytest.raises(CompatibilityError, match="initial factors have other names"):
        open_deltas(adapter, open_base(base), "a", "0" * 64)
    start.rename(adapter / "elsewhere")
    with pytest.raises(CompatibilityError, match="changed") as caught:
        open_deltas(adapter, open_base(base), "a", "0" * 64)
    assert "pissa_init/" in str(caught.value.help)
