"""What a model directory may not say: every way to run code or leave the directory is refused."""

from __future__ import annotations

import json

import pytest

from additive.errors import CompatibilityError, IntegrityError, SecurityError
from additive.models.config import (
    check_adapter_directory,
    check_config,
    check_model_directory,
    check_weight_files,
)

CODE = {
    "auto_map": {"AutoModelForCausalLM": "evil.Model"},
    "trust_remote_code": True,
    "custom_pipelines": {"x": {"impl": "evil.Pipeline"}},
    "custom_generate": "someone/evil",
    "_attn_implementation_internal": "someone/evil-kernel",
    "_experts_implementation_internal": "someone/evil-kernel",
    "_attn_implementation": "someone/evil-kernel",
    "attn_implementation": {"text_config": "someone/evil-kernel"},
    "use_kernels": True,
    "kernel_config": {"x": "y"},
}


def write(path, value):
    path.write_text(json.dumps(value))
    return path


def model(directory, **config):
    write(directory / "config.json", {"model_type": "llama", **config})
    (directory / "model.safetensors").write_bytes(b"")
    return directory


@pytest.mark.parametrize("key", sorted(CODE))
@pytest.mark.parametrize("depth", ["top", "nested", "in a list"])
def test_code_in_a_config_is_refused_at_any_depth(tmp_path, key, depth):
    inner = {key: CODE[key]}
    config = {"top": inner, "nested": {"text_config": inner}, "in a list": {"parts": [inner]}}[
        depth
    ]
    with pytest.raises(SecurityError, match=key):
        check_config(write(tmp_path / "config.json", config))


def test_plain_configs_pass(tmp_path):
    config = {
        "model_type": "llama",
        "auto_map": None,
        "_attn_implementation": "sdpa",
        "conv_kernel": 4,
        "linear_conv_kernel_dim": 4,
        "_num_labels": 1,
    }
    assert check_config(write(tmp_path / "config.json", config)) == config


def test_the_generation_config_is_looked_at_too(tmp_path):
    model(tmp_path)
    write(tmp_path / "generation_config.json", {"custom_generate": "someone/evil"})
    with pytest.raises(SecurityError, match=r"generation_config\.json"):
        check_model_directory(tmp_path)


def test_quantised_weights_are_refused(tmp_path):
    model(tmp_path, quantization_config={"quant_method": "gptq"})
    with pytest.raises(CompatibilityError, match="quantised"):
        check_model_directory(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "model.ckpt"])
def test_pickles_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(SecurityError, match="pickle"):
        check_weight_files(tmp_path, "model")


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(IntegrityError, match=r"model\.safetensors is missing"):
        check_weight_files(tmp_path, "model")
    with pytest.raises(IntegrityError, match="directory is missing"):
        check_weight_files(tmp_path / "nowhere", "model")


@pytest.mark.parametrize(
    "shard", ["../other.safetensors", "/etc/passwd", "sub/x.safetensors", "x.bin"]
)
def test_an_index_cannot_leave_the_directory(tmp_path, shard):
    write(tmp_path / "model.safetensors.index.json", {"weight_map": {"w": shard}})
    with pytest.raises(SecurityError, match="shard"):
        check_weight_files(tmp_path, "model")


def test_a_missing_shard_is_named(tmp_path):
    write(tmp_path / "model.safetensors.index.json", {"weight_map": {"w": "a-1.safetensors"}})
    with pytest.raises(IntegrityError, match="a-1"):
        check_weight_files(tmp_path, "model")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"auto_mapping": {"parent_library": "evil"}}, SecurityError),
        ({"megatron_config": {"x": 1}, "megatron_core": "evil"}, SecurityError),
        ({"peft_type": "VERA"}, CompatibilityError),
        ({"init_lora_weights": "pissa_niter_4"}, CompatibilityError),
        ({"init_lora_weights": "OLoRA"}, CompatibilityError),
    ],
)
def test_adapters_that_import_or_change_the_base_are_refused(tmp_path, change, error):
    write(tmp_path / "adapter_config.json", {"peft_type": "LORA", **change})
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(error):
        check_adapter_directory(tmp_path)


def test_a_pickled_adapter_is_refused(tmp_path):
    write(tmp_path / "adapter_config.json", {"peft_type": "LORA"})
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(SecurityError, match="pickle"):
        check_adapter_directory(tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", "{", '"x"'])
def test_what_is_no_json_object_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"config\.json"):
        check_config(tmp_path / "config.json")
