"""Adapter folders as trainers and people leave them: merged as PEFT merges them, or refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from additive.deltas.base import open_base
from additive.deltas.open import open_deltas
from additive.errors import CompatibilityError
from tests.merge import files

Q, V, K = (f"model.layers.0.{name}_proj" for name in ("self_attn.q", "mlp.up", "mlp.down"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return files.write_base(tmp_path_factory.mktemp("corpus") / "base")


def renamed(directory, change):
    path = directory / "adapter_model.safetensors"
    save_file({change(k): v for k, v in load_file(path).items()}, path, {"format": "pt"})
    return directory


def under(tower):
    return lambda name: name.replace("base_model.model.", f"base_model.model.{tower}.")


def deltas(base, directory):
    source = open_deltas(directory, open_base(base), "one", "0" * 64)
    return {name: source.delta(name).dense() for name in source.parameters()}


@pytest.mark.parametrize("tower", ["vision_tower", "audio_tower", "vision_tower.vision_model"])
def test_an_adapter_of_another_tower_is_refused(base, tmp_path, tower):
    lora = renamed(files.write_lora(tmp_path / "lora", 1, modules=[Q]), under(tower))
    with pytest.raises(CompatibilityError, match="the base has no such parameter"):
        deltas(base, lora)


def test_the_language_model_of_a_multimodal_adapter_is_taken(base, tmp_path):
    plain = deltas(base, files.write_lora(tmp_path / "plain", 1, modules=[Q, V]))
    lora = renamed(files.write_lora(tmp_path / "lora", 1, modules=[Q, V]), under("language_model"))
    found = deltas(base, lora)
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"target_modules": ["q_proj"]}, "target_modules"),
        ({"target_modules": r".*\.q_proj"}, "target_modules"),
        ({"target_modules": ["nope"]}, "target_modules"),
        ({"exclude_modules": ["up_proj"]}, "exclude_modules"),
        ({"layers_to_transform": [1]}, "layers_to_transform"),
        ({"layers_to_transform": 1, "layers_pattern": "layers"}, "layers_to_transform"),
    ],
)
def test_what_the_configuration_does_not_select_is_refused(base, tmp_path, config, field):
    lora = files.write_lora(tmp_path / "lora", 1, modules=[Q, V, K], **config)
    with pytest.raises(CompatibilityError, match=f"but {field} of adapter_config.json"):
        deltas(base, lora)


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": "all-linear"},
        {"target_modules": None},
        {"target_modules": r"model\.layers\.\d+\..*\.(q|up)_proj"},
        {"target_modules": [Q, V]},
        {"layers_to_transform": [0], "layers_pattern": ["layers"]},
        {"layers_to_transform": 0},
    ],
)
def test_what_the_configuration_selects_is_taken(base, tmp_path, config):
    lora = files.write_lora(tmp_path / "lora", 1, modules=[Q, V], **config)
    assert set(deltas(base, lora)) == {f"{Q}.weight", f"{V}.weight"}


def test_a_flag_that_oblong_weights_contradict_is_ignored(tmp_path):
    """PEFT warns and takes false on Linear modules; up_proj is oblong and shows how they lie."""
    base = files.write_base(tmp_path / "base")
    files.edit(base, lambda tensors: tensors.pop(f"{Q}.bias"), "model.safetensors")
    plain = deltas(base, files.write_lora(tmp_path / "plain", 1, modules=[Q, V]))
    lora = files.write_lora(tmp_path / "lora", 1, modules=[Q, V], fan_in_fan_out=True)
    found = deltas(base, lora)
    assert all(torch.equal(found[name], plain[name]) for name in plain)
    assert json.loads((lora / "adapter_config.json").read_text())["fan_in_fan_out"] is True
