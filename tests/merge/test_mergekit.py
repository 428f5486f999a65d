"""`mergekit/<name>` is what mergekit computes, over LoRA inputs too."""

from __future__ import annotations

import pytest
import torch

from additive.errors import SpecError, UsageError
from additive.merge.apply import as_delta, surveyed
from additive.merge.methods import MERGEKIT
from additive.merge.plan import plan
from additive.merge.recipe import build_method
from additive.testing import random_stack
from tests.merge import files
from tests.merge.making import merge, recipe, source

ONE = {"slerp", "nearswap", "arcee_fusion", "passthrough"}
TWO = {"nuslerp"}
RANDOM = {"dare_linear", "dare_ties", "della", "della_linear", "arcee_fusion"}
IGNORES_BASE = {"linear", "karcher", "passthrough"}
PARAMETERS = {
    "ties": {"density": 0.3},
    "breadcrumbs": {"density": 0.6, "gamma": 0.1},
    "breadcrumbs_ties": {"density": 0.6, "gamma": 0.1},
    "dare_ties": {"density": 0.5},
    "sce": {"select_topk": 0.5},
    "slerp": {"t": 0.3},
    "nearswap": {"t": 0.01},
}
WEIGHTS = (1.0, 0.5, 0.25)


def test_the_table_is_mergekits_own():
    from mergekit.merge_methods import registered_methods

    assert sorted(method.spec.name for method in registered_methods()) == sorted(MERGEKIT)


@pytest.mark.parametrize("name", MERGEKIT)
def test_it_is_mergekits_result(tmp_path, name):
    from mergekit.merge_methods import get, merge_tensors

    count = 1 if name in ONE else 2 if name in TWO else 3
    base = files.write_base(tmp_path / "base")
    adapters = [files.write_lora(tmp_path / f"s{i}", i + 1) for i in range(count)]
    specs = {parameter.name for parameter in get(name).spec.parameters}
    weights = WEIGHTS if "weight" in specs else (1.0,) * count
    sources = sorted(
        (source(a, w) for a, w in zip(adapters, weights, strict=False)), key=lambda s: s.digest
    )
    made = recipe(*sources, method=f"mergekit/{name}", parameters=PARAMETERS.get(name))
    merge(tmp_path / "out", base, made)
    start, found = files.read(base), files.read(tmp_path / "out")
    module = "model.layers.0.mlp.down_proj"
    merged = found[f"{module}.weight"]
    assert not torch.equal(merged, start[f"{module}.weight"])
    if name in RANDOM:
        merge(tmp_path / "again", base, made)
        assert torch.equal(files.read(tmp_path / "again")[f"{module}.weight"], merged)
        return
    tuned = []
    for each in sources:
        factors = files.read(each.directory)
        A, B = (factors[f"base_model.model.{module}.lora_{x}.weight"] for x in "AB")
        tuned.append(start[f"{module}.weight"] + 2.0 * B @ A)
    with_base = name not in IGNORES_BASE
    tensors = [start[f"{module}.weight"], *tuned] if with_base else tuned
    parameters = dict(PARAMETERS.get(name, {}))
    if "weight" in specs:
        weights = [each.weight for each in sources]
        parameters["weight"] = dict(enumerate(weights, start=int(with_base)))
    expected = merge_tensors(
        tensors,
        name,
        parameters=parameters,
        ids=list(range(len(tensors))),
        base_index=0 if with_base else None,
    )
    torch.testing.assert_close(merged, expected, rtol=1e-5, atol=1e-6)


def test_the_number_of_sources_is_checked_before_any_work(tmp_path):
    base = files.write_base(tmp_path / "base")
    sources = [source(files.write_lora(tmp_path / f"s{i}", i + 1)) for i in range(3)]
    with pytest.raises(UsageError, match=r"mergekit/slerp: .* exactly 2 inputs; got 4"):
        plan(recipe(*sources, method="mergekit/slerp"), base)
    with pytest.raises(UsageError, match=r"mergekit/model_stock: .* at least 3 inputs; got 2"):
        plan(recipe(sources[0], method="mergekit/model_stock"), base)


def test_parameters_are_mergekits_own():
    with pytest.raises(SpecError, match=r"did you mean 'select_topk'"):
        build_method("mergekit/sce", {"select_top": 0.1})
    assert build_method("mergekit/ties").density == 1.0


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("linear", {}, {}),
        ("task_arithmetic", {}, {}),
        ("ties", {"density": 0.3}, {"density": 0.3}),
        ("breadcrumbs", {"density": 0.7, "gamma": 0.05}, {"density": 0.7, "gamma": 0.05}),
        ("dare_ties", {"density": 1.0}, {"normalize": True}),
        ("della", {"density": 1.0, "epsilon": 0.0}, {"epsilon": 0.0}),
    ],
)
def test_our_methods_differ_from_mergekits_only_where_the_docs_say(name, ours, theirs):
    """docs/mergekit.md: densities, cancelled votes, rescaling, and the mean of dare_ties."""
    stack = random_stack((48, 40), 3, seed=6)
    found, wanted = (
        as_delta(made.merge(surveyed(made, stack)), stack, made).dense()
        for made in (build_method(name, ours), build_method(f"mergekit/{name}", theirs))
    )
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)


def test_a_method_without_weights_refuses_them(tmp_path):
    """What mergekit's slerp, sce or karcher would pass over."""
    base = files.write_base(tmp_path / "base")
    chosen = [source(files.write_lora(tmp_path / f"s{i}", i), w) for i, w in ((1, 1.0), (2, 0.5))]
    for name in ("sce", "karcher", "model_stock", "ram"):
        with pytest.raises(UsageError, match=f"mergekit/{name} has no weights; expected"):
            plan(recipe(*chosen, method=f"mergekit/{name}"), base)
    assert plan(recipe(*chosen, method="mergekit/multislerp"), base).touched
