"""The merge of one specialist at weight 1 is PEFT's own merge in float32, rounded once."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from additive.merge.plan import plan
from tests.deltas import tiny
from tests.deltas.kinds import BOTH_SIDES, KINDS, ONE_SIDED
from tests.merge.making import merge, recipe, source


def _make(tmp_path, kind, dtype=torch.float32):
    family, settings, config = kind
    base = tiny.save_base(tmp_path / "base", family, dtype=dtype, **settings)
    return base, tiny.save_adapter(tmp_path / "adapter", base, **config)


@pytest.mark.parametrize("kind", KINDS)
def test_one_adapter_is_merged_as_peft_merges_it(tmp_path, kind):
    base, adapter = _make(tmp_path, KINDS[kind])
    merge(tmp_path / "out", base, recipe(source(adapter)))
    ours, theirs = tiny.load(tmp_path / "out"), tiny.merged_by_peft(base, adapter)
    changed = 0
    for (name, mine), peft in zip(
        ours.state_dict().items(), theirs.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(
            mine, peft, rtol=1e-6, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}"
        )
        changed += not torch.equal(mine, tiny.load(base).state_dict()[name])
    assert changed
    expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
    torch.testing.assert_close(tiny.logits(ours), expected, rtol=1e-4, atol=1e-5)
    assert (tiny.logits(tiny.load(base)) - expected).abs().max() > 1e-4, "the adapter does nothing"


@pytest.mark.parametrize(
    "kind",
    [
        "rslora",
        "dora",
        "conv1d dora",
        "whole modules",
        "embedding",
        "ia3",
        "stacked experts",
    ],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_is_rounded_once(tmp_path, kind, dtype):
    base, adapter = _make(tmp_path, KINDS[kind], dtype)
    merge(tmp_path / "out", base, recipe(source(adapter)))
    ours = load_file(tmp_path / "out" / "model.safetensors")
    theirs = tiny.merged_by_peft(base, adapter).state_dict()
    for name, mine in ours.items():
        assert mine.dtype == dtype
        # Float32 sums may differ in their last bit and then, rarely, fall on the other side of a
        # tie.
        differs = (mine != theirs[name].to(dtype)).float().mean().item()
        assert differs < 2e-3, f"{name}: {differs:.2%} of the elements"


@pytest.mark.parametrize("kind", ONE_SIDED)
def test_a_tied_pair_that_was_trained_on_one_side_is_split(tmp_path, kind):
    base, adapter = _make(tmp_path, ONE_SIDED[kind])
    assert "is tied to" in plan(recipe(source(adapter)), base).notes[0]
    merge(tmp_path / "out", base, recipe(source(adapter)))
    merged = tiny.load(tmp_path / "out")
    assert merged.config.tie_word_embeddings is False
    expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
    torch.testing.assert_close(tiny.logits(merged), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", BOTH_SIDES)
def test_a_tied_pair_that_was_trained_as_one_stays_tied(tmp_path, kind):
    base, adapter = _make(tmp_path, BOTH_SIDES[kind])
    merge(tmp_path / "out", base, recipe(source(adapter)))
    merged = tiny.load(tmp_path / "out")
    assert merged.config.tie_word_embeddings is True
    expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
    torch.testing.assert_close(tiny.logits(merged), expected, rtol=1e-4, atol=1e-5)


def test_peft_itself_applies_a_tied_delta_twice(tmp_path):
    """Why parity ends at tied pairs; when this fails, PEFT has mended it and docs/merging.md
    changes.
    """
    base, adapter = _make(tmp_path, BOTH_SIDES["factors"])
    before = tiny.logits(tiny.adapted_by_peft(base, adapter))
    after = tiny.logits(tiny.merged_by_peft(base, adapter))
    assert (before - after).abs().max() > 1e-2


def test_what_lies_inside_of_a_wrapped_module_is_merged_too(tmp_path):
    """Mamba's mixer has a parameter and modules of its own; PEFT's own merge leaves the latter as
    they were.
    """
    config = {"r": 2, "target_modules": ["in_proj"], "target_parameters": ["mixer.A_log"]}
    base, adapter = _make(tmp_path, ("mamba", {}, config))
    expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
    merge(tmp_path / "out", base, recipe(source(adapter)))
    torch.testing.assert_close(
        tiny.logits(tiny.load(tmp_path / "out")), expected, rtol=1e-4, atol=1e-5
    )
    left = tiny.merged_by_peft(base, adapter).state_dict()
    assert any("lora_A" in name for name in left)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "mamba"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_full_fine_tune_gives_its_bytes(tmp_path, family, dtype):
    base = tiny.save_base(tmp_path / "base", family, dtype=dtype)
    tuned = tiny.save_fine_tune(tmp_path / "tuned", base, max_shard_size="20KB")
    assert len(list(tuned.glob("model-*.safetensors"))) > 1, "another sharding than the base's"
    merge(tmp_path / "out", base, recipe(source(tuned)))
    ours = load_file(tmp_path / "out" / "model.safetensors")
    expected = {k: v for f in tuned.glob("*.safetensors") for k, v in load_file(f).items()}
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in ours)


@pytest.mark.parametrize(
    ("stored", "trained"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.bfloat16),
        (torch.float16, torch.bfloat16),
    ],
)
def test_a_fine_tune_in_other_numbers_is_rounded_once_to_the_outputs(tmp_path, stored, trained):
    base = tiny.save_base(tmp_path / "base", "llama", dtype=stored)
    tuned = tiny.save_fine_tune(tmp_path / "tuned", base, dtype=trained)
    merge(tmp_path / "own", base, recipe(source(tuned)))
    merge(tmp_path / "wide", base, recipe(source(tuned), dtype="float32"))
    expected, own, wide = (
        load_file(tmp_path / n / "model.safetensors") for n in ("tuned", "own", "wide")
    )
    for name, tensor in expected.items():
        assert tensor.dtype == trained
        assert torch.equal(own[name], tensor.to(stored))
        assert torch.equal(wide[name], tensor.float())


def test_a_base_that_lacks_the_prefix_is_the_same_base(tmp_path):
    """The Hub's gpt2 stores `wte.weight` where the class says `transformer.wte.weight`."""
    from safetensors.torch import save_file

    base, adapter = _make(tmp_path, KINDS["conv1d"])
    file = base / "model.safetensors"
    save_file(
        {name.removeprefix("transformer."): t for name, t in load_file(file).items()},
        file,
        {"format": "pt"},
    )
    merge(tmp_path / "out", base, recipe(source(adapter)))
    expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
    torch.testing.assert_close(
        tiny.logits(tiny.load(tmp_path / "out")), expected, rtol=1e-4, atol=1e-5
    )
