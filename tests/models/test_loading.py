"""Loading gives the checkpoint's own numbers, or an error that says what is wrong."""

from __future__ import annotations

import json
import shutil
import socket

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from additive.errors import CompatibilityError, IntegrityError, SecurityError
from additive.models.loading import load_model, load_specialist, load_tokenizer
from tests.e2e.bases import FAMILIES

IDS = torch.tensor([[5, 9, 30, 77, 5]])


def logits(model):
    with torch.inference_mode():
        return model(IDS).logits


def copy(base, target):
    shutil.copytree(base, target)
    return target


def change(directory, edit, name="model.safetensors"):
    tensors = load_file(directory / name)
    edit(tensors)
    save_file(tensors, directory / name, metadata={"format": "pt"})


def adapter(base, directory, **options):
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", **options)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(directory)
    return model.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_is_what_transformers_reads(bases, family):
    plain = AutoModelForCausalLM.from_pretrained(bases(family)).eval()
    assert torch.equal(logits(load_model(bases(family))), logits(plain))


def test_dtype_is_the_one_asked_for(bases):
    assert load_model(bases(), "bfloat16").dtype == torch.bfloat16
    with pytest.raises(CompatibilityError, match="float64"):
        load_model(bases(), "float64")


def test_nothing_is_fetched(bases, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    load_model(bases())
    load_tokenizer(bases())


def test_a_missing_tensor_is_not_invented(bases, tmp_path):
    base = copy(bases(), tmp_path / "base")
    change(base, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(IntegrityError, match=r"model\.layers\.1\.mlp\.up_proj\.weight is missing"):
        load_model(base)


def test_a_tensor_without_a_place_is_named(bases, tmp_path):
    base = copy(bases(), tmp_path / "base")
    change(base, lambda tensors: tensors.update({"model.layers.9.extra": torch.ones(2)}))
    with pytest.raises(IntegrityError, match=r"model\.layers\.9\.extra is in the checkpoint but"):
        load_model(base)


def test_a_tensor_of_another_shape_is_refused(bases, tmp_path):
    base = copy(bases(), tmp_path / "base")
    change(base, lambda tensors: tensors.update({"model.norm.weight": torch.ones(7)}))
    with pytest.raises(IntegrityError, match="norm"):
        load_model(base)


def test_torn_weights_are_refused(bases, tmp_path):
    base = copy(bases(), tmp_path / "base")
    data = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match="does not load"):
        load_model(base)


@pytest.mark.parametrize("heads", [5, 0, "four"])
def test_a_configuration_that_no_model_can_have_is_refused(bases, tmp_path, heads):
    directory = copy(bases(), tmp_path / "base")
    config = json.loads((directory / "config.json").read_text())
    config |= {"num_attention_heads": heads}
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(IntegrityError, match="model does not load"):
        load_model(directory)


def test_code_is_refused_before_anything_is_loaded(bases, tmp_path):
    base = copy(bases(), tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "x.Y"}}))
    for load in (load_model, load_tokenizer):
        with pytest.raises(SecurityError):
            load(base)


def test_tokenizer_code_is_refused(bases, tmp_path):
    base = copy(bases(), tmp_path / "base")
    path = base / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": ["x.Y", None]}))
    with pytest.raises(SecurityError, match="auto_map"):
        load_tokenizer(base)


def test_another_kind_of_model_is_refused(bases, tmp_path):
    base = copy(bases(), tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "model_type": "vit"}))
    with pytest.raises(CompatibilityError, match="vit"):
        load_model(base)


def test_generation_settings_of_the_directory_do_not_count(bases, tmp_path):
    base = copy(bases(), tmp_path / "base")
    settings = {
        "repetition_penalty": 9.0,
        "do_sample": True,
        "temperature": 2.0,
        "eos_token_id": [1],
    }
    (base / "generation_config.json").write_text(json.dumps(settings))
    config = load_model(base).generation_config
    assert config.repetition_penalty in (None, 1.0)
    assert not config.do_sample
    assert config.eos_token_id == [1]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("rslora", [False, True])
def test_a_specialist_answers_as_its_adapter_does(bases, tmp_path, family, rslora):
    attached = adapter(bases(family), tmp_path / "adapter", use_rslora=rslora)
    specialist = load_specialist(bases(family), tmp_path / "adapter")
    assert not isinstance(specialist, PeftModel)
    assert torch.allclose(logits(specialist), logits(attached), atol=1e-4)
    assert not torch.allclose(logits(specialist), logits(load_model(bases(family))), atol=1e-2)


def test_a_whole_model_is_a_specialist_too(bases):
    assert torch.equal(logits(load_specialist(bases(), bases())), logits(load_model(bases())))


def test_an_adapter_of_another_base_is_refused(bases, tmp_path):
    adapter(bases("gpt2"), tmp_path / "adapter")
    with pytest.raises(CompatibilityError):
        load_specialist(bases("llama"), tmp_path / "adapter")


def test_an_adapter_that_lacks_a_tensor_is_refused(bases, tmp_path):
    adapter(bases(), tmp_path / "adapter")
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    change(tmp_path / "adapter", lambda tensors: tensors.pop(name), "adapter_model.safetensors")
    with pytest.raises(CompatibilityError, match=r"q_proj\.lora_B\.weight is missing"):
        load_specialist(bases(), tmp_path / "adapter")


def test_an_adapter_with_numbers_that_are_none_is_refused(bases, tmp_path):
    adapter(bases(), tmp_path / "adapter")
    change(
        tmp_path / "adapter",
        lambda tensors: next(iter(tensors.values())).fill_(float("nan")),
        "adapter_model.safetensors",
    )
    with pytest.raises(IntegrityError, match="cannot be added"):
        load_specialist(bases(), tmp_path / "adapter")
