"""A specialist that is asked alone answers as base + adapter, whatever kind of adapter it is."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from additive.errors import CompatibilityError
from additive.models.loading import load_specialist
from tests.deltas import tiny
from tests.deltas.kinds import BOTH_SIDES, KINDS, ONE_SIDED
from tests.merge import files
from tests.merge.making import merge, recipe, source

TIED = {f"{kind}, tied": ONE_SIDED[kind] for kind in ONE_SIDED} | BOTH_SIDES
NESTED = {"r": 2, "target_modules": ["in_proj"], "target_parameters": ["mixer.A_log"]}
ALL = KINDS | TIED | {"wrapped inside a wrapped one": ("mamba", {}, NESTED)}


@pytest.mark.parametrize("kind", ALL)
def test_it_answers_as_its_adapter_does(tmp_path, kind):
    family, settings, config = ALL[kind]
    base = tiny.save_base(tmp_path / "base", family, **settings)
    adapter = tiny.save_adapter(tmp_path / "adapter", base, **config)
    expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
    torch.testing.assert_close(
        tiny.logits(load_specialist(base, adapter)), expected, rtol=1e-4, atol=1e-5
    )
    assert (tiny.logits(tiny.load(base)) - expected).abs().max() > 1e-4


@pytest.mark.parametrize(("rows", "choice"), [(96, "extend"), (79, "trim")])
@pytest.mark.parametrize(("family", "modules"), [
    ("llama", ["embed_tokens", "lm_head"]), ("gemma", ["embed_tokens", "lm_head"]),
])  # fmt: skip
def test_modules_saved_whole_at_another_size_answer_as_they_did(
    tmp_path, rows, choice, family, modules
):
    base = tiny.save_base(tmp_path / "base", family)
    adapter, trained = tiny.save_resized(tmp_path / "adapter", base, rows, modules)
    alone = load_specialist(base, adapter)
    assert alone.config.get_text_config().vocab_size == rows
    torch.testing.assert_close(tiny.logits(alone), tiny.logits(trained), rtol=1e-4, atol=1e-5)
    merge(tmp_path / "out", base, recipe(source(adapter), vocabulary=choice))
    merged = tiny.logits(tiny.load(tmp_path / "out"))
    torch.testing.assert_close(tiny.logits(alone), merged, rtol=1e-4, atol=1e-5)


def test_rows_that_nobody_has_are_those_of_the_merge(tmp_path):
    """The embedding was saved whole and the head was not, as other trainers do; PEFT saves both."""
    base = tiny.save_base(tmp_path / "base", "llama")
    adapter, _ = tiny.save_resized(tmp_path / "adapter", base, 96, ["embed_tokens"])
    files.edit(adapter, lambda t: t.pop("base_model.model.lm_head.weight"))
    alone = load_specialist(base, adapter)
    assert not alone.get_output_embeddings().weight[80:].any()
    merge(tmp_path / "out", base, recipe(source(adapter), vocabulary="extend"))
    merged = tiny.logits(tiny.load(tmp_path / "out"))
    torch.testing.assert_close(tiny.logits(alone), merged, rtol=1e-4, atol=1e-5)


APART = {"mixtral": ("w1", "w2", "w3"), "qwen_moe": ("gate_proj", "up_proj", "down_proj")}


def experts_apart(directory, base, matrices, **changes):
    """An adapter as it was trained where every expert was a module of its own (transformers 4)."""
    directory.mkdir()
    generator = torch.Generator().manual_seed(3)
    factors = {}
    for name, tensor in load_file(base / "model.safetensors").items():
        module = name.removesuffix(".weight")
        if ".experts." in name and module.rpartition(".")[2] in matrices:
            outputs, inputs = tensor.shape
            for side, shape in (("A", (3, inputs)), ("B", (outputs, 3))):
                values = 0.3 * torch.randn(shape, generator=generator)
                factors[f"base_model.model.{module}.lora_{side}.weight"] = values
    save_file(factors, directory / "adapter_model.safetensors", {"format": "pt"})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 3, "lora_alpha": 6}
    settings = config | {"target_modules": list(matrices)} | changes
    (directory / "adapter_config.json").write_text(json.dumps(settings))
    return directory


@pytest.mark.parametrize(("family", "chosen"), [
    ("mixtral", ("w1", "w2", "w3")), ("mixtral", ("w2",)),
    ("qwen_moe", ("gate_proj", "up_proj", "down_proj")),
])  # fmt: skip
@pytest.mark.parametrize("rslora", [False, True])
def test_experts_apart_are_merged_and_asked_where_they_are_stacked(
    tmp_path, family, chosen, rslora
):
    """Exactly s·B·A on every expert's own matrix; PEFT converts such an adapter to answer, but for
    the scale of rsLoRA.
    """
    base = tiny.save_base(tmp_path / "base", family)
    adapter = experts_apart(tmp_path / "adapter", base, chosen, use_rslora=rslora)
    merge(tmp_path / "out", base, recipe(source(adapter)))
    merged, start = (load_file(p / "model.safetensors") for p in (tmp_path / "out", base))
    factors, scale = files.read(adapter), 6 / 3**0.5 if rslora else 2.0
    changed = {name for name in start if not torch.equal(merged[name], start[name])}
    assert changed == {n for n in start if ".experts." in n and n.split(".")[-2] in chosen}
    for name in changed:
        A, B = (
            factors[f"base_model.model.{name.removesuffix('.weight')}.lora_{side}.weight"]
            for side in "AB"
        )
        torch.testing.assert_close(merged[name], start[name] + scale * B @ A)
    if rslora:
        with pytest.raises(CompatibilityError, match="use_rslora is set on experts"):
            load_specialist(base, adapter)
        return
    expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
    assert (tiny.logits(tiny.load(base)) - expected).abs().max() > 1e-2
    for ours in (tiny.load(tmp_path / "out"), load_specialist(base, adapter)):
        torch.testing.assert_close(tiny.logits(ours), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("gone", "said"), [
    ("layers.1.", "is missing from the adapter"),
    ("experts.2.w1", "does not load"),
    ("experts.3.", "does not load"),
])  # fmt: skip
def test_experts_that_are_not_all_there_are_refused(tmp_path, gone, said):
    base = tiny.save_base(tmp_path / "base", "mixtral")
    adapter = experts_apart(tmp_path / "adapter", base, APART["mixtral"])
    files.edit(adapter, lambda t: [t.pop(name) for name in list(t) if gone in name])
    with pytest.raises(CompatibilityError, match=said):
        load_specialist(base, adapter)


def test_experts_apart_on_files_that_stack_them_are_refused_by_name(tmp_path):
    """Such a file holds no matrix of one expert; nothing is guessed about where it would lie."""
    base = tiny.save_base(tmp_path / "base", "mixtral")
    adapter = experts_apart(tmp_path / "adapter", base, APART["mixtral"])
    tensors = {n: t for n, t in files.read(base).items() if ".experts." not in n}
    stack = "model.layers.{}.mlp.experts.{}"
    for layer in (0, 1):
        tensors[stack.format(layer, "gate_up_proj")] = torch.zeros(4, 96, 32)
        tensors[stack.format(layer, "down_proj")] = torch.zeros(4, 32, 48)
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    named = r"experts\.0\.w1\.weight is changed and the base has no such parameter"
    with pytest.raises(CompatibilityError, match=named):
        merge(tmp_path / "out", base, recipe(source(adapter)))


def test_an_adapter_that_lacks_a_tensor_of_another_kind_is_refused(tmp_path):
    family, settings, config = KINDS["whole modules"]
    base = tiny.save_base(tmp_path / "base", family, **settings)
    adapter = tiny.save_adapter(tmp_path / "adapter", base, **config)
    files.edit(adapter, lambda t: t.pop("base_model.model.lm_head.weight"))
    with pytest.raises(CompatibilityError, match=r"lm_head\.weight is missing from the adapter"):
        load_specialist(base, adapter)
