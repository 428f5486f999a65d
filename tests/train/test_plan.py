"""Estimates: exact where counting is enough, an upper end elsewhere."""

from __future__ import annotations

import json

import pytest

from additive.models.loading import load_model
from additive.spec.domain import FullSpec, LoraSpec
from additive.train.adapt import adapted, trainable
from additive.train.device import Device
from additive.train.plan import estimate, read_shape, trained_parameters
from tests.e2e.bases import FAMILIES
from tests.train.making import spec

CPU = Device("cpu", "float32", "CPU")
LARGE = 1_000_000_000


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_are_those_of_the_model(bases, family):
    shape = read_shape(bases(family))
    model = load_model(bases(family))
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert trained_parameters(FullSpec(kind="full"), shape) == shape.parameters
    lora = LoraSpec(rank=3)
    counted = sum(p.numel() for p in trainable(adapted(model, lora, "math", 0)).values())
    assert trained_parameters(lora, shape) == counted


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        ("llama", ("q_proj", "v_proj")),
        ("mixtral", ("q_proj", "o_proj")),
        ("mamba", ("in_proj", "x_proj")),
    ],
)
def test_named_targets_count_alone(bases, family, targets):
    lora = LoraSpec(rank=3, targets=targets)
    model = adapted(load_model(bases(family)), lora, "math", 0)
    counted = sum(p.numel() for p in trainable(model).values())
    assert trained_parameters(lora, read_shape(bases(family))) == counted
    shape = read_shape(bases(family))
    assert not any(name.endswith("A_log") for name, _ in shape.linear)


def test_more_work_costs_more(base):
    shape = read_shape(base)
    plain = estimate(spec(), shape, CPU, 60, 30.0, 40)
    longer = estimate(spec(saturation={"max_steps": 160}), shape, CPU, 60, 30.0, 40)
    full = estimate(spec(adapt={"kind": "full"}), shape, CPU, 60, 30.0, 40)
    assert longer.seconds > 9 * plain.seconds
    assert full.memory_bytes > plain.memory_bytes
    assert (plain.steps, plain.evaluations, plain.tokens_per_step) == (16, 6, 240)
    assert estimate(spec(), shape, CPU, 60, 30.0, 40, extend=1.5).steps == 24


def test_a_measured_speed_is_used_and_said(base):
    shape = read_shape(base)
    guessed = estimate(spec(), shape, CPU, 60, 30.0, 40)
    measured = estimate(spec(), shape, CPU, 60, 30.0, 40, speed=1e6)
    assert (guessed.measured, measured.measured) == (False, True)
    assert measured.seconds > guessed.seconds
    assert json.loads(json.dumps(measured.record()))["measured"] is True
