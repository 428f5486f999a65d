"""Steps around a method: against the papers on full matrices, and in whole merges."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from additive.deltas.model import Dense
from additive.merge.apply import calibrated, merged_part, stack_of, survey_model
from additive.merge.core import core_of
from additive.merge.default_rules import default_rules
from additive.merge.method import Step
from additive.merge.recipe import ParameterRecipe, build_method, build_step
from additive.merge.sources import layers_of
from additive.testing import random_stack
from tests.deltas import tiny
from tests.merge import files
from tests.merge.making import merge, recipe, source
from tests.oracles import papers

RULED = {"linear": 1.0, "task_arithmetic": 0.3}
COUNTS = {"text": 5, "vision": 3, "adapter": 1}
UP = "model.layers.0.mlp.up_proj.weight"


def _part(method, before=(), after=(), scale=1.0, **parameters):
    return ParameterRecipe(
        build_method(method, parameters),
        scale,
        before=tuple(map(build_step, before)),
        after=tuple(map(build_step, after)),
    )


def _stack(shape=(24, 16), weights=(1.0, 0.5, 2.0)):
    stack = replace(random_stack(shape, len(weights), seed=5), weights=weights, total=sum(weights))
    return stack, [delta.double().numpy() for delta in stack.dense()]


def _damped(deltas):
    U, s, _ = np.linalg.svd(np.hstack(deltas), full_matrices=False)
    alpha = 1 / (1 + (len(deltas) - 1) * s**2 / (s**2).sum())
    damp = np.eye(len(U)) + U @ np.diag(alpha - 1) @ U.T
    return [damp @ delta for delta in deltas]


def _at_mean_norm(merged, deltas, weights):
    sizes = [abs(w) * np.linalg.norm(d) for w, d in zip(weights, deltas, strict=True)]
    return merged * np.mean(sizes) / np.linalg.norm(merged)


def _calibrated(merged, deltas, weights):
    """SVC of any merged matrix."""
    U, s, Vh = np.linalg.svd(merged, full_matrices=False)
    out = np.zeros_like(merged)
    for r in range(int((s > 1e-9 * s[0]).sum())):
        parts = [U[:, r] @ (w * d) for w, d in zip(weights, deltas, strict=True)]
        row = U[:, r] @ merged
        factors = [max(1.0, (row @ part) / (part @ part)) for part in parts]
        out += len(parts) / sum(factors) * s[r] * np.outer(U[:, r], Vh[r])
    return out


def _method(name, deltas, stack):
    if name == "task_arithmetic":
        return papers.task_arithmetic(deltas, stack.weights)
    return papers.tsv_m(deltas, stack.weights, [4, 4, 4], 1e-3)


@pytest.mark.parametrize("weights", [(1.0, 0.5, 2.0), (1.0, -0.5, 2.0)])
@pytest.mark.parametrize("name", ["task_arithmetic", "tsv_m"])
def test_steps_in_core_space_are_the_dense_steps(name, weights):
    stack, deltas = _stack(weights=weights)
    damped = _damped(deltas)
    merged = _at_mean_norm(_method(name, damped, stack), deltas, stack.weights)
    expected = 0.7 * _calibrated(merged, damped, stack.weights)
    part = _part(name, ["pico"], ["svc"], scale=0.7)
    found = merged_part(part, stack).dense().double().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    core = part.before[0].before_core(core_of(stack))
    total = part.after[0].after_core(
        part.before[0].after_core(part.method.merge_core(core), core), core
    )
    lifted = 0.7 * (core.left @ total @ core.right.T).numpy()
    # The oracle starts from deltas that were rounded to float32.
    np.testing.assert_allclose(lifted, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_steps_around_a_method_that_knows_no_core_space():
    stack, deltas = _stack(weights=(1.0, 1.0, 1.0))
    damped = _damped(deltas)
    merged = _at_mean_norm(papers.ties(damped, 0.3), deltas, stack.weights)
    expected = _calibrated(merged, damped, stack.weights)
    part = _part("ties", ["pico"], ["svc"], density=0.3)
    dense = replace(stack, deltas=tuple(Dense(delta.dense()) for delta in stack.deltas))
    for given in (stack, dense):
        found = merged_part(part, given).dense().double().numpy()
        assert np.linalg.norm(found - expected) < 2e-3 * np.linalg.norm(expected)


def test_the_methods_pico_and_svc_are_sums_with_one_step():
    stack, _ = _stack()
    for place, name in (("before", "pico"), ("after", "svc")):
        composed = merged_part(_part("task_arithmetic", **{place: [name]}), stack).dense()
        alone = merged_part(_part(name), stack).dense()
        torch.testing.assert_close(composed, alone, rtol=1e-5, atol=1e-8)


@dataclass(frozen=True)
class _Around(Step):
    """A step that marks its place: halves the sources before, adds its number after."""

    number: float

    def before_core(self, core):
        return replace(core, matrices=tuple(m * 0.5 for m in core.matrices))

    def after_core(self, merged, core):
        return self.number * merged + 1.0


def test_steps_before_a_method_end_in_reverse_and_steps_after_it_follow():
    stack, _ = _stack()
    dense = replace(stack, deltas=tuple(Dense(delta.dense()) for delta in stack.deltas))
    plain = merged_part(_part("task_arithmetic"), dense).dense()
    steps = {"before": (_Around(2.0), _Around(3.0)), "after": (_Around(5.0), _Around(7.0))}
    for method in ("task_arithmetic", "linear"):
        merged = plain if method == "task_arithmetic" else plain / sum(stack.weights)
        found = merged_part(replace(_part(method), **steps), dense).dense()
        expected = 7 * (5 * (2 * (3 * 0.25 * merged + 1) + 1) + 1) + 1
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_vector_has_no_spectrum_and_is_left_to_the_method():
    stack, _ = _stack((33,))
    composed = merged_part(_part("task_arithmetic", ["pico"], ["svc"]), stack).dense()
    assert torch.equal(composed, merged_part(_part("task_arithmetic"), stack).dense())


def test_lines_scales_layer_by_layer(tmp_path):
    base = files.write_base(tmp_path / "base")
    one = source(files.write_lora(tmp_path / "one", 1))
    full = source(files.write_fine_tune(tmp_path / "full", base, 2))
    plain = recipe(one, full, scale=0.5)
    merge(tmp_path / "plain", base, plain)
    lines = build_step("lines", {"first": 0.25, "last": 2.0})
    merge(tmp_path / "lines", base, replace(plain, after=(lines,)))
    start, before, after = (files.read(tmp_path / n) for n in ("base", "plain", "lines"))
    for name in files.SHAPES:
        factor = 0.25 if ".layers.0." in name else 2.0 if ".layers.1." in name else 1.0
        expected = start[name] + factor * (before[name] - start[name])
        torch.testing.assert_close(after[name], expected, rtol=1e-4, atol=1e-6)


def test_the_first_pass_of_a_model_wide_method_sees_the_steps(tmp_path):
    from additive.deltas.base import open_base
    from additive.merge.sources import open_sources

    base = files.write_base(tmp_path / "base")
    sources = [source(files.write_lora(tmp_path / f"s{i}", i)) for i in (1, 2)]
    made = recipe(*sources, method="localize_and_stitch")
    made = replace(made, before=(build_step("pico"),))
    opened = open_sources(made, open_base(base))
    conclusion = survey_model(made, opened, 1)
    stack = stack_of(made, opened, UP, conclusion)
    inner = calibrated(made.part(UP), stack)
    thresholds = made.method.conclude(
        {
            name: made.method.survey(calibrated(made.part(name), opened.stack(name, 0)))
            for name in opened.parameters()
        }
    )
    assert conclusion == thresholds
    assert not torch.equal(inner.dense()[0], stack.dense()[0])


def test_steps_are_part_of_the_plan_and_no_part_of_ruled_parameters(tmp_path):
    from additive.merge.plan import plan

    base = files.write_base(tmp_path / "base")
    sources = [source(files.write_lora(tmp_path / f"s{i}", i)) for i in (1, 2)]
    plain = recipe(*sources, method="ties")
    stepped = replace(plain, after=(build_step("svc"),), rules=default_rules(plain.method))
    assert plan(plain, base).digest != plan(stepped, base).digest
    assert stepped.resolved()["after"] == [{"name": "svc", "floor": 1.0}]
    assert stepped.part("model.norm.weight").after == ()
    assert stepped.part(UP).after == stepped.after


@pytest.mark.parametrize(("method", "rule"), [("ties", "linear"), ("swudi", "task_arithmetic")])
def test_default_rules_average_or_sum_embeddings_norms_and_heads(tmp_path, method, rule):
    """The mean at scale 1; the sum at the merge's scale beside a method that sums."""
    base = files.write_base(tmp_path / "base")
    sources = [source(files.write_fine_tune(tmp_path / f"s{i}", base, i)) for i in (1, 2)]
    plain = recipe(*sources, method=method, scale=0.3)
    merge(tmp_path / "from_rule", base, replace(plain, rules=default_rules(plain.method)))
    merge(tmp_path / "plain", base, plain)
    merge(tmp_path / "rule", base, recipe(*sources, method=rule, scale=RULED[rule]))
    found, own, outside = (files.read(tmp_path / n) for n in ("from_rule", "plain", "rule"))
    from_rule = {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"}
    for name in files.SHAPES:
        assert torch.equal(found[name], (outside if name in from_rule else own)[name]), name


@pytest.mark.parametrize("family", ["llama", "qwen", "gemma", "gpt2"])
@pytest.mark.parametrize("inside", ["", "model", "transformer"])
def test_default_rules_know_a_familys_embeddings_norms_and_head(family, inside):
    """By what the modules are, whether or not the files name the model around them."""
    model = tiny.build(family)
    made = replace(recipe(method="ties"), rules=default_rules(build_method("ties")))
    for name, module in model.named_modules():
        if next(module.parameters(recurse=False), None) is None:
            continue
        loose = isinstance(module, torch.nn.Embedding) or "Norm" in type(module).__name__
        stem = ".".join(filter(None, [inside, name.partition(".")[2] or name]))
        for parameter, _ in module.named_parameters(recurse=False):
            expected = loose or name == "lm_head"
            assert made.part(f"{stem}.{parameter}").from_rule == expected, f"{stem}.{parameter}"


@pytest.mark.parametrize("method", ["swudi", "ties"])
def test_steps_after_the_method_run_in_their_order(method):
    """SVC compares what it gets with the sources: halved before it is not halved after it."""
    stack, _ = _stack()
    stack = replace(stack, layer=(0, 2))
    plain = merged_part(_part(method), stack).dense()
    halved = merged_part(_part(method, after=("lines",)), stack).dense()
    torch.testing.assert_close(halved, 0.5 * plain)
    first = merged_part(_part(method, after=("lines", "svc")), stack).dense()
    core = core_of(replace(stack, deltas=tuple(Dense(d.dense()) for d in stack.deltas)))
    expected = build_step("svc").after_core(halved.double(), core).float()
    torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-6)
    last = merged_part(_part(method, after=("svc", "lines")), stack).dense()
    torch.testing.assert_close(
        last, 0.5 * merged_part(_part(method, after=("svc",)), stack).dense()
    )
    assert not torch.allclose(first, last, rtol=1e-2)
    vector = replace(random_stack((33,), 3, seed=1), layer=(0, 2))
    one, other = (
        merged_part(_part(method, after=steps), vector).dense()
        for steps in (("lines", "svc"), ("svc", "lines"))
    )
    assert torch.equal(one, other)


def test_lines_go_straight_from_the_first_layer_to_the_last():
    """In every tower of a model by itself; what has no number keeps its size."""
    names = [f"{tower}.layers.{n}.w" for tower, count in COUNTS.items() for n in range(count)]
    found = layers_of([*names, "norm.weight"])
    lines = build_step("lines", {"first": 0.25, "last": 2.0})
    stack, _ = _stack()
    for tower, count in COUNTS.items():
        factors = [
            lines.factor(replace(stack, layer=found[f"{tower}.layers.{n}.w"])) for n in range(count)
        ]
        expected = np.linspace(0.25, 2.0, count) if count > 1 else [0.25]
        np.testing.assert_allclose(factors, expected)
    assert lines.factor(replace(stack, layer=found.get("norm.weight"))) == 1.0


def test_sums_and_mergekits_methods_have_no_default_rules():
    for name in ("task_arithmetic", "linear", "mergekit/ties"):
        assert default_rules(build_method(name)) == ()
