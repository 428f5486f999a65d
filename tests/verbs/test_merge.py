"""Composition end to end: recipe files and command lines to frozen merges, over adapter files."""

from __future__ import annotations

import pytest
import torch

from additive.artifacts.manifest import ManifestDraft, Snapshot
from additive.deltas.base import open_base
from additive.deltas.open import open_deltas
from additive.deltas.source import delta_norms
from additive.errors import SpecError, UnknownName, UsageError
from additive.merge.steps.balance import balance_factors
from additive.types.norms import total_norm
from additive.verbs.merge import build_recipe
from additive.verbs.merge_request import request_merge
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace
from tests.e2e.command import run_here
from tests.merge import files

SIZES = {"math": 0.05, "code": 0.1, "safety": 0.4}
UP = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def root(tmp_path):
    """A workspace with a small base and three frozen adapters of different length."""
    base = files.write_base(tmp_path / "base")
    root = tmp_path / "work"
    (root / "merges").mkdir(parents=True)
    (root / "additive.yaml").write_text(
        f"version: 1\nbase: {{model: {base}}}\nmerge: {{scale: 1.0}}\n"
    )
    workspace = Workspace(root)
    identity = base_identity(workspace)
    for seed, (name, size) in enumerate(SIZES.items(), start=1):
        with workspace.store.staging("specialist", name) as staged:
            files.write_lora(staged, seed, size=size)
            source = open_deltas(staged, open_base(base), name, "0" * 64)
            norms = delta_norms(source) if name != "code" else {}
            draft = ManifestDraft(kind="specialist", name=name, base=identity, norms=norms)
            workspace.store.freeze(staged, draft)
    return root


def _recipe(root, text):
    (root / "merges" / "release.yaml").write_text("version: 1\n" + text)
    workspace = Workspace(root)
    request = request_merge(workspace, ["release"], {}, base_identity(workspace))
    return build_recipe(workspace, request)


def test_balance_takes_norms_from_manifests_or_computes_them(root):
    made = _recipe(root, "sources: [math, code, safety]\nbefore: [balance]\n")
    workspace = Workspace(root)
    lengths = {}
    for source in made.sources:
        opened = open_deltas(
            source.directory, open_base(workspace.base_directory()), source.name, source.digest
        )
        lengths[source.name] = total_norm(delta_norms(opened))
    expected = balance_factors([lengths[name] for name in SIZES])
    found = {source.name: source.weight for source in made.sources}
    assert [found[name] for name in SIZES] == pytest.approx(expected)
    assert found["safety"] < 0.1 and found["math"] == found["code"] == 1.0
    assert made.before == ()


def test_balance_of_a_snapshot_takes_the_snapshots_own_norm(root):
    workspace = Workspace(root)
    base = workspace.base_directory()
    with workspace.store.staging("specialist", "law") as staged:
        files.write_lora(staged, 7, size=SIZES["math"])
        files.write_lora(staged / "snapshots" / "0.5", 7, size=SIZES["safety"])
        norms = delta_norms(open_deltas(staged, open_base(base), "law", "0" * 64))
        half = Snapshot(fraction=0.5, step=10, path="snapshots/0.5")
        draft = ManifestDraft(
            kind="specialist", name="law", base=base_identity(workspace), norms=norms,
            snapshots=(half,),
        )  # fmt: skip
        workspace.store.freeze(staged, draft)
    weights = [
        {s.name: s.weight for s in _recipe(root, f"{text}\nbefore: [balance]\n").sources}["law"]
        for text in ("sources: [math, code, law]", "sources: [math, code, {domain: 'law#0.5'}]")
    ]
    assert weights[0] == 1.0
    assert weights[1] < 0.1


def test_a_composition_from_a_recipe_is_that_of_the_command_line(root, capsys):
    text = """sources: [math, code, safety]
method: {name: tsv_m, ridge: 0.01}
before: [pico]
after: [svc, {name: lines, first: 0.3}]
rules:
  - {match: "*.q_proj.weight", method: linear, scale: 0.5}
  - {match: "*.down_proj.*", method: base}
rank: 3
scale: 1.0
output: adapter
"""
    (root / "merges" / "release.yaml").write_text("version: 1\n" + text)
    quick = ("--no-check", "--json")
    from_file = run_here(capsys, root, "merge", "release", *quick)
    assert from_file.code == 0, from_file.err
    said = (
        *("--method", "tsv_m", "--set", "ridge=0.01", "--before", "pico", "--after", "svc"),
        *("--after", "lines:first=0.3", "--rule", "*.q_proj.weight=linear@0.5"),
        *("--rule", "*.down_proj.*=base", "--rank", "3", "--output", "adapter"),
    )
    from_line = run_here(
        capsys, root, "merge", "math", "code", "safety", *said, "--name", "line", *quick
    )
    assert from_line.code == 0, from_line.err
    one, other = files.read_json(from_file.json["path"]), files.read_json(from_line.json["path"])
    assert one["weights"] == other["weights"]
    spec = one["spec"]
    assert spec["before"] == [{"name": "pico"}]
    assert spec["after"][1] == {"name": "lines", "first": 0.3, "last": 1.0}
    assert spec["rules"][0]["scale"] == 0.5 and spec["rules"][1]["method"] is None
    assert spec["rank"] == 3
    factors = files.read(files.Path(from_file.json["path"]))
    assert all(t.shape[0] == 3 for name, t in factors.items() if name.endswith("lora_A.weight"))
    assert not any("down_proj" in name for name in factors)
    assert any("rank 3 keeps" in note for note in from_file.json["notes"])


def test_a_plan_touches_nothing(root, capsys):
    def files_of(root):
        return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}

    before = files_of(root)
    said = ("--method", "tsv_m", "--scale", "0.8", "--output", "adapter", "--plan")
    assert run_here(capsys, root, "merge", "math", "code", *said).code == 0
    assert files_of(root) == before


def test_the_plan_prints_steps_and_rules_with_what_they_decide(root, capsys):
    said = ("--method", "ties", "--before", "balance", "--rule", "*.up_proj.*=base", "--plan")
    done = run_here(capsys, root, "merge", "math", "code", *said)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert "before   balance" in lines
    assert "device   cpu" in lines
    assert "rule     *.up_proj.*: the base's values (1 parameters)" in lines
    assert "rule     *lm_head.*: linear, scale 1 (0 parameters)" in lines
    said = (*said, "--no-default-rules", "--json")
    document = run_here(capsys, root, "merge", "math", "code", *said).json
    assert document["rules"] == [{"rule": "*.up_proj.*: the base's values", "parameters": 1}]
    assert document["before"] == [{"name": "balance"}]
    assert run_here(capsys, root, "list", "merges", "--json").json["merges"] == []


def test_balance_says_what_it_did(root, capsys):
    done = run_here(
        capsys, root, "merge", "math", "code", "safety", "--before", "balance", "--no-check"
    )
    assert done.code == 0, done.err
    assert "note: balance: weight of safety is 0.0" in done.out


def test_the_same_composition_is_found_again_and_another_is_another(root, capsys):
    built = [
        run_here(capsys, root, "merge", "math", "code", *said, "--no-check", "--json").json
        for said in (("--after", "svc"), ("--after", "svc"), ("--after", "none"), ())
    ]
    assert [one["reused"] for one in built] == [False, True, False, True]
    assert built[0]["digest"] == built[1]["digest"] != built[2]["digest"] == built[3]["digest"]


def test_mistakes_are_named_where_they_were_written(root):
    with pytest.raises(UsageError, match="step svc stands before the method") as caught:
        _recipe(root, "sources: [math]\nbefore: [svc]\n")
    assert "--after svc" in caught.value.help
    with pytest.raises(UnknownName, match="unknown merge step 'lins'; did you mean 'lines'"):
        _recipe(root, "sources: [math]\nafter: [lins]\n")
    with pytest.raises(SpecError, match=r"release.yaml:3:23: unknown key 'frist'"):
        _recipe(root, "sources: [math]\nafter: [{name: lines, frist: 1}]\n")
    with pytest.raises(UnknownName, match="did you mean 'ties'"):
        _recipe(root, "sources: [math]\nrules: [{match: '*', method: teis}]\n")


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("method: {name: ties, density: 2}", "3:31", "density of ties is 2; expected in"),
        ("after: [{name: svc, floor: -1}]", "3:28", "floor of svc is -1; expected"),
        (
            "rules: [{match: '*', method: {name: della, epsilon: 9}}]",
            "3:30",
            "density ± epsilon of",
        ),
        (
            "rules: [{match: '*', method: {name: base, density: 1}}]",
            "3:52",
            "density cannot be used where",
        ),
        (
            "rules: [{match: '*', method: base, scale: 2}]",
            "3:30",
            "scale cannot be used where the rule",
        ),
        ("method: {name: mergekit/ties, lambda: 2}", "3:39", "lambda is given; expected"),
        ("method: {name: mergekit/linear, weight: 2}", "3:41", "weight is given; expected"),
    ],
)
def test_what_a_parameter_may_not_be_is_said_at_its_place(root, text, place, what):
    with pytest.raises((SpecError, UsageError)) as caught:
        _recipe(root, f"sources: [math]\n{text}\n")
    assert str(caught.value).startswith(f"merges/release.yaml:{place}: {what}")


def test_a_merge_hides_no_specialist(root, capsys):
    """A merge of a domain's name would be the newest of that name, and no merge could have it."""
    for said in (("math", "code", "--name", "math"), ("code", "--name", "code")):
        done = run_here(capsys, root, "merge", *said, "--no-check")
        assert done.code == 2
        assert f"merge name is '{said[-1]}'; expected a name that no domain has" in done.err
    for text in (
        "version: 1\nsources: [code]\n",
        "merge_method: linear\nmodels: [{model: code}]\n",
    ):
        (root / "merges" / "math.yaml").write_text(text)
        done = run_here(capsys, root, "merge", "merges/math.yaml", "--no-check")
        assert "merge name is 'math'; expected a name that no domain has" in done.err


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (("--rule", "lm_head.weight"), "--rule is 'lm_head.weight'; expected PATTERN="),
        (("--rule", "*=ties@x"), "scale of --rule is 'x'"),
        (("--rule", "*=ties@nan"), "scale of --rule is 'nan'"),
        (
            ("--rule", "*=base@2"),
            "--rule: scale cannot be used where the rule '*' keeps the base's values",
        ),
        (("--method", "", "--plan"), "unknown merge method ''"),
        (("--seed", "-1"), "--seed"),
        (("--after", "lines:first"), "--after is 'lines:first'; expected NAME"),
        (("--after", "svc", "--after", "none"), "none stands alone"),
        (("--rank", "3"), "rank cannot be used when the output is a checkpoint"),
    ],
)
def test_mistakes_of_the_command_line(root, capsys, said, what):
    done = run_here(capsys, root, "merge", "math", "code", *said, "--no-check")
    assert done.code == 2
    assert what in done.err


def test_lint_knows_steps_and_methods_of_rules(root, capsys):
    (root / "merges" / "release.yaml").write_text(
        "version: 1\nsources: [math]\nafter: [svcc]\nrules: [{match: '*', method: tiess}]\n"
    )
    done = run_here(capsys, root, "lint")
    assert "merges/release.yaml:3:9: unknown merge step 'svcc'; did you mean 'svc'?" in done.out
    assert "merges/release.yaml:4:30: unknown merge method 'tiess'" in done.out


def test_an_adapter_of_a_method_that_leaves_the_factors(root, capsys):
    said = ("--method", "ties", "--output", "adapter", "--no-check", "--json")
    refused = run_here(capsys, root, "merge", "math", "code", *said)
    assert refused.code == 2 and "--rank K" in refused.err
    done = run_here(capsys, root, "merge", "math", "code", *said, "--rank", "30")
    assert done.code == 0, done.err
    factors = files.read(files.Path(done.json["path"]))
    stem = f"base_model.model.{UP.removesuffix('.weight')}"
    assert factors[f"{stem}.lora_A.weight"].shape == torch.Size([24, 24])
