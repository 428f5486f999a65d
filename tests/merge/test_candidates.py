"""A resident model shows exactly what would be written, and is itself afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from additive.errors import CompatibilityError, UsageError
from additive.merge.recipe import ParameterRule, build_method
from additive.merge.resident import resident
from additive.models.attach import give_rows
from tests.deltas import tiny
from tests.deltas.kinds import KINDS, ONE_SIDED
from tests.merge.making import changed, merge, recipe, source


def _state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("method", ["task_arithmetic", "linear", "ties", "dare_ties"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_scale_is_what_the_engine_writes(tmp_path, method, dtype):
    base = tiny.save_base(tmp_path / "base", "llama", dtype=dtype)
    one = tiny.save_adapter(tmp_path / "one", base, seed=1, **KINDS["lora"][2])
    two = tiny.save_fine_tune(tmp_path / "two", base, seed=2)
    sources = (source(one), source(two, 0.5))
    model = tiny.load(base)
    before = _state(model)
    with resident(model, base, recipe(*sources, method=method)) as switch:
        for scale in (1.0, 0.3, 0.0, 1.7):
            switch(scale)
            merge(tmp_path / str(scale), base, recipe(*sources, method=method, scale=scale))
            written = tiny.load(tmp_path / str(scale)).state_dict()
            assert all(torch.equal(tensor, written[n]) for n, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_rules_and_the_outputs_numbers_are_shown_as_they_are_written(tmp_path, dtype):
    base = tiny.save_base(tmp_path / "base", "llama")
    tuned = [source(tiny.save_fine_tune(tmp_path / f"s{i}", base, seed=i)) for i in (1, 2)]
    rules = (
        ParameterRule("*.q_proj.weight", build_method("linear"), 0.5),
        ParameterRule("*.down_proj.weight", None),
        ParameterRule("*.up_proj.weight", build_method("ties")),
        ParameterRule("*.k_proj.weight", build_method("task_arithmetic"), None),
    )
    made = replace(recipe(*tuned, dtype=dtype, scale=0.7), rules=rules)
    model = tiny.load(base)
    with resident(model, base, made) as switch:
        for scale in (1.0, 0.3):
            switch(scale)
            merge(tmp_path / str(scale), base, changed(made, scale=scale))
            written = tiny.load(tmp_path / str(scale)).state_dict()
            for name, tensor in model.state_dict().items():
                assert torch.equal(tensor, written[name]), name


@pytest.mark.parametrize("kind", ["head", "gpt2 embedding"])
def test_a_split_pair_is_tied_again(tmp_path, kind):
    family, settings, config = ONE_SIDED[kind]
    base = tiny.save_base(tmp_path / "base", family, **settings)
    adapter = tiny.save_adapter(tmp_path / "one", base, **config)
    model = tiny.load(base)
    before = tiny.logits(model)
    with resident(model, base, recipe(source(adapter))) as switch:
        switch(1.0)
        expected = tiny.logits(tiny.adapted_by_peft(base, adapter))
        torch.testing.assert_close(tiny.logits(model), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(tiny.logits(model), before)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_it_is_restored_after_an_error_too(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    one = tiny.save_adapter(tmp_path / "one", base, **KINDS["lora"][2])
    model = tiny.load(base)
    before = _state(model)
    with (
        pytest.raises(ZeroDivisionError),
        resident(model, base, recipe(source(one))) as switch,
    ):
        switch(1 / 0 if switch(1.0) is None else 0.0)
    assert all(torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())


def test_another_model_is_refused(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    one = tiny.save_adapter(tmp_path / "one", base, **KINDS["lora"][2])
    other = tiny.load(tiny.save_base(tmp_path / "other", "llama", seed=5))
    with (
        pytest.raises(CompatibilityError, match="differs from the base's file"),
        resident(other, base, recipe(source(one))),
    ):
        pass


@pytest.mark.parametrize("kind", ["experts", "experts and router", "stacked experts", "mamba dora"])
def test_experts_that_the_model_stacks_are_switched_too(tmp_path, kind):
    """The base's files hold them apart; the model holds them in one tensor."""
    family, settings, config = KINDS[kind]
    base = tiny.save_base(tmp_path / "base", family, **settings)
    adapter = tiny.save_adapter(tmp_path / "one", base, **config)
    model = tiny.load(base)
    before = _state(model)
    with resident(model, base, recipe(source(adapter))) as switch:
        switch(0.5)
        merge(tmp_path / "half", base, recipe(source(adapter), scale=0.5))
        written = tiny.load(tmp_path / "half").state_dict()
        assert all(torch.equal(tensor, written[n]) for n, tensor in model.state_dict().items())
        assert any(not torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())


@pytest.mark.parametrize("family", ["llama", "gemma"])
@pytest.mark.parametrize(("rows", "choice"), [(96, "extend"), (72, "trim")])
def test_a_model_that_was_given_the_rows_is_switched_too(tmp_path, family, rows, choice):
    base = tiny.save_base(tmp_path / "base", family)
    tuned = tiny.load(base)
    tuned.resize_token_embeddings(rows, mean_resizing=False)
    tuned.save_pretrained(tmp_path / "tuned")
    made = recipe(source(tmp_path / "tuned"), vocabulary=choice)
    model = tiny.load(base)
    with (
        pytest.raises(UsageError, match=f"other rows than the {rows}"),
        resident(model, base, made),
    ):
        pass
    give_rows(model, rows)
    with resident(model, base, made) as switch:
        switch(0.5)
        merge(tmp_path / "half", base, changed(made, scale=0.5))
        written = tiny.load(tmp_path / "half").state_dict()
        assert all(torch.equal(tensor, written[n]) for n, tensor in model.state_dict().items())
