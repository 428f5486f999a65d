"""What a merge writes: whole directories that plain transformers and plain PEFT load."""

from __future__ import annotations

import json

import pytest
import torch

from additive.errors import CompatibilityError, IntegrityError, UsageError
from additive.merge.plan import plan
from additive.merge.recipe import ParameterRule
from tests.deltas import tiny
from tests.deltas.kinds import KINDS
from tests.merge import files
from tests.merge.making import changed, merge, recipe, source

ADAPTABLE = ["lora", "rslora", "rank pattern", "alpha pattern with rank stabilisation"]
ADAPTABLE += [
    "one layer only",
    "all linear",
    "embedding",
    "head",
    "tied",
    "conv1d",
    "conv1d rslora",
    "mamba",
    "one matrix by name",
    "experts",
    "experts with patterns",
    "experts and router",
    "stacked experts",
]


@pytest.mark.parametrize("kind", ["dora", "conv1d dora", "dora embedding"])
def test_dora_comes_out_as_the_nearest_adapter_of_a_rank(tmp_path, kind):
    """At full rank that is its delta itself; without a rank nothing is."""
    family, settings, config = KINDS[kind]
    base = tiny.save_base(tmp_path / "base", family, **settings)
    adapter = tiny.save_adapter(tmp_path / "one", base, **config)
    with pytest.raises(CompatibilityError, match="no LoRA adapter can hold exactly") as caught:
        plan(recipe(source(adapter), output="adapter"), base)
    assert "--rank K" in str(caught.value.help)
    merge(tmp_path / "out", base, recipe(source(adapter), output="adapter", rank=32))
    expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
    found = tiny.logits(tiny.adapted_by_peft(base, tmp_path / "out"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ADAPTABLE)
def test_an_adapter_equals_the_checkpoint(tmp_path, kind):
    family, settings, config = KINDS[kind]
    base = tiny.save_base(tmp_path / "base", family, **settings)
    one = tiny.save_adapter(tmp_path / "one", base, seed=1, **config)
    other = {**config, "r": 3, "rank_pattern": {}, "use_rslora": False}
    two = tiny.save_adapter(tmp_path / "two", base, seed=2, **other)
    sources = (source(one, 0.7), source(two, -0.4))
    made = recipe(*sources, scale=0.9)
    merge(tmp_path / "whole", base, made)
    report = merge(tmp_path / "adapter", base, recipe(*sources, scale=0.9, output="adapter"))
    expected = tiny.logits(tiny.load(tmp_path / "whole"))
    loaded = tiny.adapted_by_peft(base, tmp_path / "adapter")
    torch.testing.assert_close(tiny.logits(loaded), expected, rtol=1e-4, atol=1e-5)
    assert report.rounded_away == 0.0
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    # And it is a source like any other.
    merge(tmp_path / "again", base, recipe(source(tmp_path / "adapter")))
    torch.testing.assert_close(
        tiny.logits(tiny.load(tmp_path / "again")), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["experts", "stacked experts"])
@pytest.mark.parametrize(("method", "rank"), [("tsv_m", None), ("ties", 60)])
def test_experts_of_any_method_fit_into_an_adapter(tmp_path, kind, method, rank):
    """Gate and up then have factors of their own each, and PEFT's one parameter has both."""
    base = tiny.save_base(tmp_path / "base", KINDS[kind][0])
    one = tiny.save_adapter(tmp_path / "one", base, seed=1, **KINDS[kind][2])
    two = tiny.save_adapter(tmp_path / "two", base, seed=2, **KINDS[kind][2])
    made = {"method": method, "rules": (ParameterRule("*.layers.1.*", None),)}
    merge(tmp_path / "whole", base, recipe(source(one), source(two), **made))
    merge(
        tmp_path / "adapter",
        base,
        recipe(source(one), source(two), output="adapter", rank=rank, **made),
    )
    expected = tiny.logits(tiny.load(tmp_path / "whole"))
    loaded = tiny.logits(tiny.adapted_by_peft(base, tmp_path / "adapter"))
    torch.testing.assert_close(loaded, expected, rtol=1e-4, atol=1e-4)
    assert (expected - tiny.logits(tiny.load(base))).abs().max() > 1e-3


def test_the_order_of_experts_parameters_is_never_guessed(tmp_path):
    base = tiny.save_base(tmp_path / "base", "mixtral")
    halves = [
        tiny.save_adapter(
            tmp_path / name, base, r=2, target_modules=[], target_parameters=[f"experts.{name}"]
        )
        for name in ("gate_up_proj", "down_proj")
    ]
    sources = [source(half) for half in halves]
    plan(recipe(*sources), base)
    with pytest.raises(CompatibilityError, match="in which order PEFT nests them"):
        plan(recipe(*sources, output="adapter"), base)


def test_what_no_adapter_can_hold(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    plain = tiny.save_adapter(tmp_path / "plain", base, **KINDS["lora"][2])
    for kind in ("dora", "whole modules", "tokens", "ia3 whole modules"):
        adapter = tiny.save_adapter(tmp_path / kind.replace(" ", "_"), base, **KINDS[kind][2])
        with pytest.raises(CompatibilityError, match="no LoRA adapter can hold exactly"):
            plan(recipe(source(plain), source(adapter), output="adapter"), base)
    with pytest.raises(UsageError, match="ties leaves the adapters' factors"):
        plan(recipe(source(plain), method="ties", output="adapter"), base)


@pytest.mark.parametrize("family", ["llama", "qwen", "gemma", "gpt2"])
def test_lora_and_full_fine_tunes_mix(tmp_path, family):
    base = tiny.save_base(tmp_path / "base", family, dtype=torch.bfloat16, max_shard_size="30KB")
    target = "c_attn" if family == "gpt2" else "q_proj"
    lora = tiny.save_adapter(tmp_path / "lora", base, r=4, target_modules=[target])
    full = tiny.save_fine_tune(tmp_path / "full", base)
    for method in ("task_arithmetic", "ties", "dare_ties"):
        merge(tmp_path / method, base, recipe(source(lora), source(full), method=method))
        merged = tiny.load(tmp_path / method)
        assert torch.isfinite(tiny.logits(merged)).all()
        assert merged.config.tie_word_embeddings == tiny.load(base).config.tie_word_embeddings
    start, tuned = tiny.load(base).state_dict(), tiny.load(full).state_dict()
    adapted = tiny.merged_by_peft(base, lora).state_dict()
    summed = tiny.load(tmp_path / "task_arithmetic").state_dict()
    for name, found in summed.items():
        expected = (tuned[name] + adapted[name] - start[name]).to(torch.bfloat16).float()
        assert (found != expected).float().mean() < 0.01, name


def test_config_tokenizer_and_template_come_from_the_base(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    (base / "chat_template.jinja").write_text("{{ messages }}")
    (base / "tokenizer.json").write_text("{}")
    (base / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    (base / "README.md").write_text("the base's own card")
    adapter = tiny.save_adapter(tmp_path / "one", base, **KINDS["lora"][2])
    merge(tmp_path / "out", base, recipe(source(adapter)))
    for name in (
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ):
        assert (tmp_path / "out" / name).read_bytes() == (base / name).read_bytes()
    assert not (tmp_path / "out" / "README.md").exists()
    before, after = (
        json.loads((path / "config.json").read_text()) for path in (base, tmp_path / "out")
    )
    assert before == after


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_output_dtype_can_be_chosen(tmp_path, dtype):
    base = tiny.save_base(tmp_path / "base", "qwen", dtype=torch.bfloat16)
    adapter = tiny.save_adapter(tmp_path / "one", base, **KINDS["lora"][2])
    report = merge(tmp_path / "out", base, recipe(source(adapter), dtype=dtype))
    from transformers import AutoModelForCausalLM

    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert {str(p.dtype) for p in merged.parameters()} == {f"torch.{dtype}"}
    assert (report.rounded_away < 1e-5) == (dtype == "float32")
    expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
    tolerance = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    assert (tiny.logits(merged.float()) - expected).abs().max() < tolerance


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("rank", [None, 3])
def test_the_dtype_of_an_adapter_can_be_chosen(tmp_path, dtype, rank):
    base = tiny.save_base(tmp_path / "base", "llama")
    folders = [
        tiny.save_adapter(tmp_path / f"s{i}", base, seed=i, r=4, target_modules=["q_proj"])
        for i in (1, 2)
    ]
    made = recipe(*map(source, folders), output="adapter", rank=rank)
    merge(tmp_path / "exact", base, made)
    made = changed(made, dtype=dtype)
    report = merge(tmp_path / "out", base, made)
    exact, written = (files.read(tmp_path / name) for name in ("exact", "out"))
    kept = torch.float32 if dtype == "auto" else getattr(torch, dtype)
    assert {tensor.dtype for tensor in written.values()} == {kept}
    size = sum(tensor.nbytes for tensor in written.values())
    planned = plan(made, base)
    assert planned.written == report.bytes_written == size
    assert planned.memory > size
    assert planned.merged == len(written) / 2
    lost = total = 0.0
    for name in (name for name in exact if "lora_A" in name):
        wanted, got = (
            t[name.replace("_A", "_B")].double() @ t[name].double() for t in (exact, written)
        )
        lost, total = lost + (got - wanted).norm() ** 2, total + wanted.norm() ** 2
    assert report.rounded_away == pytest.approx((lost / total).item() ** 0.5, rel=1e-3, abs=1e-7)
    assert (report.rounded_away == 0) == (kept == torch.float32)
    reference = tiny.logits(tiny.adapted_by_peft(base, tmp_path / "exact"))
    loaded = tiny.logits(tiny.adapted_by_peft(base, tmp_path / "out"))
    torch.testing.assert_close(loaded, reference, rtol=0.05, atol=0.01)


@pytest.mark.parametrize(("dtype", "scale"), [("float16", 1e8), ("float32", 1e39)])
def test_factors_that_overflow_are_refused_before_anything_is_written(tmp_path, dtype, scale):
    base = tiny.save_base(tmp_path / "base", "llama")
    one = tiny.save_adapter(tmp_path / "one", base, seed=1, r=4, target_modules=["q_proj"])
    made = recipe(source(one), output="adapter", dtype=dtype, scale=scale)
    with pytest.raises(IntegrityError, match=r"q_proj.weight is not finite after the merge"):
        merge(tmp_path / "out", base, made)
    assert list((tmp_path / "out").iterdir()) == []
