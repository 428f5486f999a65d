"""Every fault says where, what, and what it should be; all faults of a file come at once."""

from __future__ import annotations

import pytest

from additive.errors import SpecError
from additive.spec.domain import DomainSpec
from additive.spec.loader import load, loads
from additive.spec.recipe import Recipe
from additive.spec.suite import SuiteSpec
from additive.spec.workspace import WorkspaceSpec


def faults(text, model=DomainSpec, **how):
    with pytest.raises(SpecError) as caught:
        loads(text, model, display_path="f.yaml", **how)
    return list(caught.value.problems)


def test_all_faults_of_a_file_come_at_once_and_in_its_order():
    text = """\
version: 1
adapt: {kind: lora, rnak: 8, alpha: no}
train: {learning_rate: fast, batch_size: 1.5, seed: -1, dtype: bf16}
adpat: 3
data: {train: x.jsonl}
"""
    assert faults(text) == [
        "f.yaml:2:21: unknown key 'rnak' in adapt; did you mean 'rank'?",
        "f.yaml:2:37: adapt.alpha is 'no'; expected a number",
        "f.yaml:3:24: train.learning_rate is 'fast'; expected a number",
        "f.yaml:3:42: train.batch_size is 1.5; expected a whole number",
        "f.yaml:3:53: train.seed is -1; expected at least 0",
        "f.yaml:3:64: train.dtype is 'bf16'; expected one of auto, float32, bfloat16,"
        " float16; did you mean 'bfloat16'?",
        "f.yaml:4:1: unknown key 'adpat'; did you mean 'adapt'?",
        "f.yaml:5:15: data.train is 'x.jsonl'; expected a list",
    ]


def test_the_keys_of_version_0_1_are_refused_with_their_successors():
    text = """\
version: 1
data: {licence: MIT}
train: {rate: 1e-3, batch: 4, micro_batch: 2}
saturation: {every: 5, minimum: 9, tail: 2}
"""
    assert faults(text) == [
        "f.yaml:2:8: unknown key 'licence' in data; did you mean 'license'?",
        "f.yaml:3:9: unknown key 'rate' in train; did you mean 'learning_rate'?",
        "f.yaml:3:21: unknown key 'batch' in train; did you mean 'batch_size'?",
        "f.yaml:3:31: unknown key 'micro_batch' in train; did you mean 'micro_batch_size'?",
        "f.yaml:4:14: unknown key 'every' in saturation; did you mean 'eval_steps'?",
        "f.yaml:4:24: unknown key 'minimum' in saturation; did you mean 'min_evals'?",
        "f.yaml:4:36: unknown key 'tail' in saturation; did you mean 'decay_steps'?",
    ]


@pytest.mark.parametrize(
    ("model", "text", "fault"),
    [
        (DomainSpec, "{}", "f.yaml:1:1: version is missing; expected given"),
        (DomainSpec, "", "f.yaml:1:1: version is missing; expected given"),
        (DomainSpec, "- a", "f.yaml:1:1: file is a list; expected a mapping"),
        (DomainSpec, "hello", "f.yaml:1:1: file is 'hello'; expected a mapping"),
        (
            DomainSpec,
            "version: 2",
            "f.yaml:1:10: version is 2; expected 1 (a newer additive wrote this file)",
        ),
        (DomainSpec, "version: '1'", "f.yaml:1:10: version is '1'; expected 1"),
        (DomainSpec, "version: true", "f.yaml:1:10: version is true; expected 1"),
        (
            DomainSpec,
            "version: 1\nadapt: {kind: loar}",
            "f.yaml:2:15: adapt.kind is 'loar'; expected one of lora, full; did you mean 'lora'?",
        ),
        (
            DomainSpec,
            "version: 1\nadapt: {kind: full, rank: 8}",
            "f.yaml:2:21: unknown key 'rank' in adapt; known: kind",
        ),
        (
            DomainSpec,
            "version: 1\nadapt: {rank: 0}",
            "f.yaml:2:15: adapt.rank is 0; expected at least 1",
        ),
        (
            DomainSpec,
            "version: 1\nsaturation: {min_gain: 5}",
            "f.yaml:2:24: saturation.min_gain is 5; expected a fraction in (0, 1], never percent",
        ),
        (
            DomainSpec,
            "version: 1\nsaturation: {window: 9}",
            "f.yaml:2:13: saturation: window is 9; expected at most min_evals (8)",
        ),
        (
            DomainSpec,
            "version: 1\nsnapshots: [0.5, 0.25]",
            "f.yaml:2:12: snapshots is a list; expected fractions in rising order, each once",
        ),
        (
            DomainSpec,
            "version: 1\ntrain: {learning_rate: 1e999}",
            "f.yaml:2:24: train.learning_rate is inf; expected a finite number",
        ),
        (
            DomainSpec,
            "version: 1\ntrain: {learning_rate: .nan}",
            "f.yaml:2:24: train.learning_rate is nan; expected a finite number",
        ),
        (
            SuiteSpec,
            "version: 1\ntasks: [{name: a, grader: x}]",
            "f.yaml:2:9: tasks[0]: data is missing; expected data or lm_eval",
        ),
        (
            SuiteSpec,
            "version: 1\ntasks: [{name: a, data: x, lm_eval: y}]",
            "f.yaml:2:9: tasks[0]: data and lm_eval are both given when one of them should be",
        ),
        (
            SuiteSpec,
            "version: 1\ntasks: []",
            "f.yaml:2:8: tasks is a list; expected not empty",
        ),
        (
            SuiteSpec,
            "version: 1\nrole: target\ntasks: [{name: a, data: x}]",
            "f.yaml:1:1: domain is missing; a target suite names the domain that it tests",
        ),
        (
            SuiteSpec,
            "version: 1\ntasks: [{name: a, data: x}, {name: a, data: y}]",
            "f.yaml:1:1: two tasks have one name when each should have its own",
        ),
        (
            SuiteSpec,
            "version: 1\ntasks: [{name: a, data: x}]\ngate: {margin: 0.1, retain: 0.5}",
            "f.yaml:3:7: gate: margin and retain are both given when one of them should be",
        ),
        (
            SuiteSpec,
            "version: 1\ntasks: [{name: a, data: x}]\nsides: {yes: {margin: 1}, no: {maargin: 1}}",
            "f.yaml:3:32: unknown key 'maargin' in sides.no; did you mean 'margin'?",
        ),
        (
            SuiteSpec,
            "version: 1\ntasks: [{name: '../x', data: x}]",
            "f.yaml:2:16: tasks[0].name is '../x'; expected text that matches"
            " ^[a-z0-9][a-z0-9_.-]*$",
        ),
        (
            Recipe,
            "version: 1\nsources: [a, {domain: b, wieght: 2}]",
            "f.yaml:2:26: unknown key 'wieght' in sources[1]; did you mean 'weight'?",
        ),
        (
            Recipe,
            "version: 1\nsources: [a, 3]",
            "f.yaml:2:14: sources[1] is 3; expected a specialist's name or a mapping"
            " with domain and weight",
        ),
        (
            Recipe,
            "version: 1\nsources: [a, a]",
            "f.yaml:2:10: sources: a occurs twice when each specialist should occur once",
        ),
        (
            Recipe,
            "version: 1\nsources: [a]\nscale: validtion",
            "f.yaml:3:8: scale is 'validtion'; expected a finite number or 'validation'",
        ),
        (
            Recipe,
            "version: 1\nsources: [{domain: a, weight: .nan}]",
            "f.yaml:2:31: sources[0].weight is nan; expected a finite number",
        ),
        (
            Recipe,
            "version: 1\nsources: [a]\nmethod: {density: 0.3}",
            "f.yaml:3:9: method: name is missing; expected a method's name, as in"
            " {name: ties, density: 0.3}",
        ),
        (
            WorkspaceSpec,
            "version: 1\nbase: tiny",
            "f.yaml:2:7: base is 'tiny'; expected a mapping",
        ),
        (
            WorkspaceSpec,
            "version: 1\nbase: {model: tiny}\n"
            "waivers: [{suite: a, reason: r, by: me, expires: tomorrow}]",
            "f.yaml:3:1: unknown key 'waivers'; known: base, gate, merge, version",
        ),
    ],
)
def test_a_fault_says_where_what_and_what_it_should_be(model, text, fault):
    assert faults(text, model) == [fault]


def test_foreign_text_in_a_message_is_short_and_printable():
    [fault] = faults(f"version: 1\ntrain: {{learning_rate: '{'x' * 500}'}}")
    assert len(fault) < 160
    [fault] = faults('version: 1\ntrain: {learning_rate: "\\e[31m\\u202e"}')
    assert fault.isprintable()


def test_a_file_that_says_another_name_than_its_place_is_a_fault():
    assert loads("version: 1\nname: math", DomainSpec, name="math").name == "math"
    assert loads("version: 1", DomainSpec, name="math").name == "math"
    assert faults("version: 1\nname: code", name="math") == [
        "f.yaml:2:7: name is 'code'; expected 'math', as its path says"
    ]


def test_files_that_cannot_be_read_are_faults(tmp_path):
    for path, reason in ((tmp_path / "no.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(SpecError, match=reason) as caught:
            load(path, DomainSpec, display_path="d.yaml")
        assert caught.value.problems[0].startswith("d.yaml: cannot be read")
