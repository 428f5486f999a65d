"""`peft_linear` against PEFT's own factor-wise merge, and its error against the formula."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft import PeftModel

from additive.errors import CompatibilityError
from additive.merge.plan import plan
from additive.merge.recipe import build_method
from additive.testing import random_stack
from tests.deltas import tiny
from tests.merge.making import changed, merge, recipe, source

TARGETS = {
    "llama": ["q_proj", "up_proj", "embed_tokens"],
    "gpt2": ["c_attn", "c_fc"],
}


def _adapters(root, base, family, **settings):
    config = {"r": 4, "lora_alpha": 10, "target_modules": TARGETS[family], **settings}
    return [
        tiny.save_adapter(root / f"a{i}", base, seed=i + 1, size=0.2, **config) for i in range(3)
    ]


def _by_peft(base, adapters, weights):
    model = PeftModel.from_pretrained(tiny.load(base), adapters[0], adapter_name="s0")
    for number, adapter in enumerate(adapters[1:], start=1):
        model.load_adapter(adapter, adapter_name=f"s{number}")
    names = [f"s{number}" for number in range(len(adapters))]
    model.add_weighted_adapter(names, weights, "all", combination_type="linear")
    model.set_adapter("all")
    return model.merge_and_unload(adapter_names=["all"]).state_dict()


@pytest.mark.parametrize(
    ("family", "weights"),
    [
        ("llama", (1.0, 1.0, 1.0)),
        ("llama", (0.5, 2.0, 0.25)),
        ("gpt2", (1.0, 0.7, 0.3)),
    ],
)
def test_it_is_what_peft_computes(tmp_path, family, weights):
    base = tiny.save_base(tmp_path / "base", family)
    adapters = _adapters(tmp_path, base, family)
    sources = [source(a, weight) for a, weight in zip(adapters, weights, strict=True)]
    merge(tmp_path / "out", base, recipe(*sources, method="peft_linear"))
    ours, theirs = tiny.load(tmp_path / "out").state_dict(), _by_peft(base, adapters, weights)
    start = tiny.load(base).state_dict()
    changed = [name for name in ours if not torch.equal(ours[name], start[name])]
    assert len(changed) >= 2
    for name in changed:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


def test_a_negative_weight_has_its_sign_on_a(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    adapters = _adapters(tmp_path, base, "llama", target_modules=["q_proj"])
    weights = (1.0, -0.5, 0.25)
    sources = [source(a, weight) for a, weight in zip(adapters, weights, strict=True)]
    merge(tmp_path / "out", base, recipe(*sources, method="peft_linear"))
    ours, theirs = tiny.load(tmp_path / "out").state_dict(), _by_peft(base, adapters, weights)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


def test_its_error_is_the_cross_terms():
    stack = replace(random_stack((24, 16), 3, seed=3), weights=(1.0, 0.5, 2.0))
    shares = [w * delta.scale for w, delta in zip(stack.weights, stack.deltas, strict=True)]
    cross = sum(
        (shares[i] * shares[j]) ** 0.5 * stack.deltas[i].B @ stack.deltas[j].A
        for i in range(3)
        for j in range(3)
        if i != j
    )
    found = build_method("peft_linear").merge(stack).dense()
    exact = build_method("task_arithmetic").merge(stack).dense()
    torch.testing.assert_close(found - exact, cross, rtol=1e-4, atol=1e-6)
    assert cross.norm() > exact.norm(), "for random factors the error is larger than the sum"


def test_a_source_of_weight_zero_is_not_there():
    stack = replace(random_stack((24, 16), 3, seed=3), weights=(1.0, 0.0, 2.0))
    kept = (stack.deltas[0], stack.deltas[2])
    without = replace(stack, deltas=kept, weights=(1.0, 2.0), sources=("s0", "s2"))
    method = build_method("peft_linear")
    torch.testing.assert_close(method.merge(stack).dense(), method.merge(without).dense())


def test_an_adapter_holds_it_at_the_rank_of_one_source(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    adapters = _adapters(tmp_path, base, "llama", target_modules=["q_proj"])
    made = recipe(*map(source, adapters), method="peft_linear")
    merge(tmp_path / "whole", base, made)
    merge(tmp_path / "adapter", base, changed(made, output="adapter"))
    ours = tiny.merged_by_peft(base, tmp_path / "adapter").state_dict()
    for name, expected in tiny.load(tmp_path / "whole").state_dict().items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "found"),
    [({"r": 6}, "4, 6"), ({"use_dora": True}, "none"), ({"modules_to_save": ["norm"]}, "none")],
)
def test_what_it_cannot_take_is_refused_from_headers(tmp_path, settings, found):
    base = tiny.save_base(tmp_path / "base", "llama")
    plain = {"r": 4, "target_modules": ["q_proj"]}
    one = tiny.save_adapter(tmp_path / "one", base, seed=1, **plain)
    other = tiny.save_adapter(tmp_path / "other", base, seed=2, **(plain | settings))
    with pytest.raises(CompatibilityError, match="needs LoRA factors of one rank") as caught:
        plan(recipe(source(one), source(other), method="peft_linear"), base)
    assert set(found.split(", ")) <= set(caught.value.message.replace(",", "").split())
    assert "task_arithmetic" in caught.value.help
