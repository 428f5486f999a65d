"""Adopting kinds of adapters that are frozen as something else, or are no LoRA."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from additive.deltas.base import open_base
from additive.deltas.open import open_deltas
from tests.deltas import tiny
from tests.deltas.kinds import PLAIN
from tests.merge import files
from tests.verbs.adopting import adopt_into


@pytest.mark.parametrize("init", ["pissa", "olora", "corda", "lora_ga"])
def test_initial_factors_are_frozen_as_the_plain_lora_that_they_make(
    workspace, lora, tmp_path, init
):
    """The adopted domain has the delta of the folder; its own folder needs no other."""
    start = files.write_lora(lora / f"{init}_init", 7, size=0.03)
    config = files.read_json(lora, "adapter_config.json") | {"init_lora_weights": init}
    (lora / "adapter_config.json").write_text(json.dumps(config))
    base = open_base(tmp_path / "base")
    before = open_deltas(lora, base, "a", "0" * 64)
    adopted = adopt_into(workspace, lora)
    artifact, folder = adopted.artifact, adopted.folder
    assert (folder.kept[-1], folder.left) == (f"{init}_init/adapter_model.safetensors", ())
    assert {p.name for p in artifact.path.iterdir() if p.is_dir()} == set()
    assert artifact.manifest.spec["adapt"]["init"] == init
    after = open_deltas(artifact.path, base, "a", "0" * 64)
    for name in before.parameters():
        torch.testing.assert_close(after.delta(name).dense(), before.delta(name).dense())
    assert adopt_into(workspace, lora).reused
    files.write_lora(start, 8, size=0.03)
    assert adopt_into(workspace, lora).artifact.digest != artifact.digest


def test_ia3_is_adopted_as_what_it_is(workspace, tmp_path):
    folder = tmp_path / "scales"
    folder.mkdir()
    name = "base_model.model.model.layers.0.self_attn.q_proj.ia3_l"
    save_file({name: torch.full((24, 1), 1.01)}, folder / "adapter_model.safetensors")
    config = {"peft_type": "IA3", "target_modules": ["q_proj"], "feedforward_modules": []}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    manifest = adopt_into(workspace, folder).artifact.manifest
    assert manifest.spec["adapt"] == {"kind": "ia3"}
    assert set(manifest.norms) == {
        f"model.layers.0.self_attn.q_proj.{n}" for n in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("old", "new"), [("base_model.", "_orig_mod.base_model."), (".lora_A.", ".lora_A.default.")]
)
def test_names_of_others_are_frozen_as_plain_peft_loads_them(workspace, tmp_path, old, new):
    base, adapter = tiny.save_base(tmp_path / "base", "llama"), tmp_path / "saved"
    tiny.save_adapter(adapter, base, size=0.02, **PLAIN)
    expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
    named = {name.replace(old, new): tensor for name, tensor in files.read(adapter).items()}
    save_file(named, adapter / "adapter_model.safetensors", {"format": "pt"})
    frozen = adopt_into(workspace, adapter).artifact.path
    found = tiny.logits(tiny.adapted_by_peft(base, frozen))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert adopt_into(workspace, adapter).reused
