"""Defaults, shorthands, and blocks that other layers build later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from additive.errors import SpecError
from additive.spec.domain import DomainSpec
from additive.spec.loader import build, loads
from additive.spec.method import MethodSpec
from additive.spec.recipe import Recipe
from additive.spec.suite import SuiteSpec
from additive.spec.workspace import WorkspaceSpec
from additive.spec.yaml import Located


@dataclass(frozen=True)
class Ties:
    density: float = 0.2
    rescale: bool = False
    sign: Literal["sum", "count"] = "sum"

    def __post_init__(self):
        if not 0 < self.density <= 1:
            raise ValueError(f"density is {self.density:g}; expected in (0, 1]")


def domain(text=""):
    return loads(f"version: 1\n{text}", DomainSpec, name="math")


def test_a_domain_needs_nothing_but_its_version():
    spec = domain()
    assert (spec.adapt.kind, spec.adapt.rank, spec.adapt.alpha) == ("lora", 8, 16.0)
    rule = spec.saturation
    assert (rule.min_gain, rule.horizon, rule.window, rule.min_evals) == (0.01, 4, 8, 8)
    assert spec.snapshots == (0.25, 0.5, 0.75, 1.0)
    assert spec.data.train == ("train.jsonl",)
    assert spec.data.validation == ("validation.jsonl",)


def test_defaults_that_follow_from_other_keys():
    assert domain("adapt: {rank: 32}").adapt.alpha == 64
    assert domain("adapt: {rank: 32, alpha: 32}").adapt.alpha == 32
    assert domain().train.learning_rate == 2e-4
    assert domain("adapt: {kind: full}").train.learning_rate == 2e-5
    assert domain("adapt: {kind: full}\ntrain: {learning_rate: 1e-3}").train.learning_rate == 1e-3
    assert domain("adapt: {kind: full}\ntrain: {batch_size: 4}").train.learning_rate == 2e-5
    assert domain("snapshots: [0.5]").snapshots == (0.5, 1.0)
    assert domain("snapshots: [1.0, 1.5]").snapshots == (1.0, 1.5)


def test_recall_is_half_of_the_rows_when_the_base_has_some():
    assert domain().recall.resolved_share(available=True) == 0.5
    assert domain().recall.resolved_share(available=False) == 0
    assert domain("recall: {share: 0.3}").recall.resolved_share(available=False) == 0.3
    assert domain("recall: {share: 0}").recall.resolved_share(available=True) == 0


def test_a_resolved_spec_says_everything_and_reads_back_the_same():
    spec = domain("adapt: {rank: 4}")
    resolved = spec.resolved()
    assert resolved["adapt"]["alpha"] == 8.0
    assert resolved["saturation"]["window"] == 8
    assert resolved["name"] == "math"
    tuples = {**resolved, "data": {**resolved["data"], "train": ("train.jsonl",)}}
    tuples["data"]["validation"] = ("validation.jsonl",)
    assert DomainSpec.model_validate({**tuples, "snapshots": spec.snapshots}) == spec


def test_specs_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        domain().grader = "numeric"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "role"),
    [("domain: math", "target"), ("", "guard"), ("domain: math\nrole: guard", "guard")],
)
def test_a_suite_with_a_domain_is_a_target(text, role):
    suite = loads(f"version: 1\n{text}\ntasks: [{{name: a, data: x}}]", SuiteSpec)
    assert suite.role == role


def test_a_gate_has_one_rule():
    def gate(text):
        text = f"version: 1\ntasks: [{{name: a, data: x}}]\ngate: {text}"
        return loads(text, SuiteSpec).gate

    assert (gate("{}").margin, gate("{}").retain) == (0.05, None)
    assert (gate("{retain: 0.9}").margin, gate("{retain: 0.9}").retain) == (None, 0.9)
    assert gate("{alpha: 0.01}").margin == 0.05


def test_scale_is_a_number_or_validation():
    def scale(text):
        return loads(f"version: 1\nsources: [a]\n{text}", Recipe).scale

    assert scale("") == "validation"
    assert scale("scale: validation") == "validation"
    assert scale("scale: 1") == 1.0
    assert scale("scale: -2e-1") == -0.2


def test_sources_are_names_or_blocks():
    recipe = loads("version: 1\nsources: [a, {domain: 'b@1234', weight: -1}]", Recipe)
    assert [(s.domain, s.weight) for s in recipe.sources] == [("a", 1.0), ("b@1234", -1.0)]


def test_methods_are_names_or_blocks_and_equal_by_value():
    workspace = loads("version: 1\nbase: {model: tiny}\nmerge: {method: ties}", WorkspaceSpec)
    assert workspace.merge.method == MethodSpec.of("ties")
    recipe = loads(
        "version: 1\nsources: [a]\nmethod: {name: ties, density: 0.3}",
        Recipe,
        display_path="m.yaml",
    )
    assert recipe.method == MethodSpec.of("ties", {"density": 0.3})
    assert recipe.resolved()["method"] == {"name": "ties", "density": 0.3}
    assert build(recipe.method.parameters, Ties) == Ties(density=0.3)


def test_parameters_that_are_built_later_still_know_their_place():
    text = (
        "version: 1\nsources: [a]\nmethod:\n  name: ties\n  densty: 0.3\n  rescale: 1\n  sign: sim"
    )
    method = loads(text, Recipe, display_path="merges/m.yaml").method
    with pytest.raises(SpecError) as caught:
        build(method.parameters, Ties)
    assert caught.value.problems == (
        "merges/m.yaml:5:3: unknown key 'densty'; did you mean 'density'?",
        "merges/m.yaml:6:12: rescale is 1; expected true or false",
        "merges/m.yaml:7:9: sign is 'sim'; expected one of sum, count; did you mean 'sum'?",
    )
    assert method.parameters.fault("no", "rescale") == "merges/m.yaml:6:12: no"
    assert method.parameters.fault("no", "rescale", key=True) == "merges/m.yaml:6:3: no"


def test_faults_that_the_dataclass_finds_itself_have_a_place_too():
    with pytest.raises(SpecError, match=r"--set: density is 2; expected in \(0, 1\]"):
        build(Located.of({"density": 2.0}, where="--set"), Ties)
