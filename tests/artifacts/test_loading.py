"""What is frozen loads with plain transformers and peft, and is the same model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from additive.artifacts.manifest import ManifestDraft, Snapshot, identify_base
from additive.artifacts.store import Store
from additive.artifacts.verify import verify_directory

TOKENS = torch.arange(12).reshape(1, 12)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    directory = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(TOKENS).logits


def load(directory: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(directory)


def test_a_frozen_checkpoint_loads_with_transformers_whatever_its_shards(base, tmp_path):
    store, model = Store(tmp_path / "store"), load(base)
    artifacts = []
    for size in ("1GB", "20KB"):
        with store.staging("merge", "math") as staged:
            model.save_pretrained(staged, max_shard_size=size)
            assert (len(list(staged.glob("*.safetensors"))) > 1) == (size == "20KB")
            artifacts.append(store.freeze(staged, ManifestDraft(kind="merge", name="math")))
    assert artifacts[0] == artifacts[1], "other shards are the same artifact"
    assert torch.equal(logits(load(artifacts[0].path)), logits(model))
    assert verify_directory(artifacts[0].path) == ()
    assert artifacts[0].manifest.weights == identify_base(base, "base").weights


def test_a_frozen_adapter_and_its_snapshot_load_with_peft(base, tmp_path):
    store = Store(tmp_path / "store")
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = get_peft_model(load(base), config)
    before = logits(model)
    with store.staging("specialist", "math") as staged:
        model.save_pretrained(staged / "snapshots" / "0.5")
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.mul_(2)
        after = logits(model)
        model.save_pretrained(staged)
        draft = ManifestDraft(
            kind="specialist",
            name="math",
            base=identify_base(base, "base"),
            snapshots=(Snapshot(fraction=0.5, step=1, path="snapshots/0.5"),),
        )
        artifact = store.freeze(staged, draft)
    assert not torch.equal(before, after)
    for path, wanted in ((artifact.path, after), (artifact.snapshot_path(0.5), before)):
        assert torch.equal(logits(PeftModel.from_pretrained(load(base), path)), wanted)
    assert verify_directory(artifact.path) == ()


def test_two_runs_of_peft_give_one_digest(base, tmp_path):
    """PEFT keeps target modules in a set and writes them in the order of the hash seed."""
    store, digests = Store(tmp_path / "store"), set()
    for modules in (["q_proj", "v_proj"], ["v_proj", "q_proj"]):
        torch.manual_seed(1)
        config = LoraConfig(r=4, target_modules=modules, init_lora_weights=False)
        model = get_peft_model(load(base), config)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.constant_(parameter, 0.5)
        with store.staging("specialist", "math") as staged:
            model.save_pretrained(staged)
            path = staged / "adapter_config.json"
            text = path.read_text().replace(str(base), f"/elsewhere/{len(digests)}")
            path.write_text(text)
            digests.add(store.freeze(staged, ManifestDraft(kind="specialist", name="math")).digest)
    assert len(digests) == 1
