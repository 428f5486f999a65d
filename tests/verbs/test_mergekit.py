"""mergekit files in a workspace: run as they are, found again, and our recipes written as such."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from additive.artifacts.manifest import ManifestDraft, identify_base
from additive.cli.main import run
from additive.errors import CompatibilityError, SpecError, UsageError
from additive.merge.mergekit.export import to_mergekit
from additive.verbs.export import export_mergekit
from additive.verbs.merge import build_merge
from additive.verbs.merge_request import request_merge
from additive.verbs.mergekit import build_mergekit, mergekit_name, request_mergekit
from additive.workspace.workspace import Workspace
from tests.merge import files
from tests.merge.conformance import by_mergekit, distance, make_zoo
from tests.merge.making import recipe, source

CLOSE = 1e-5


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return make_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def workspace(zoo, tmp_path_factory):
    """A workspace with an adapter frozen as math and a full fine-tune frozen as code."""
    root = tmp_path_factory.mktemp("workspace")
    text = f"version: 1\nbase: {{model: {zoo.places['base']}}}\nmerge: {{scale: 1.0}}\n"
    (root / "additive.yaml").write_text(text)
    (root / "merges").mkdir()
    (root / "saves").mkdir()
    shutil.copytree(zoo.places["a"], root / "saves" / "sql")
    found = Workspace(root)
    base = identify_base(zoo.places["base"], str(zoo.places["base"]), None, found.cache)
    for name, model in (("math", "lora"), ("code", "b")):
        with found.store.staging("specialist", name) as staged:
            shutil.copytree(zoo.places[model], staged, dirs_exist_ok=True)
            (staged / "README.md").unlink(missing_ok=True)
            found.store.freeze(staged, ManifestDraft(kind="specialist", name=name, base=base))
    return found


@pytest.fixture
def base(workspace):
    from additive.workspace.inputs import base_identity

    return base_identity(workspace)


def write(workspace, name, text):
    (workspace.root / "merges" / f"{name}.yaml").write_text(text)
    return name


TEXT = """merge_method: ties
base_model: {base}
models:
  - {{model: math, parameters: {{weight: 1.0, density: [0.2, 0.8]}}}}
  - {{model: code@{code}, parameters: {{weight: 0.5}}}}
  - {{model: saves/sql, parameters: {{weight: 0.3}}}}
parameters: {{density: 0.5}}
dtype: float32
"""


def as_paths(workspace, text):
    """The same file with paths, which mergekit understands."""
    root, base = workspace.root, workspace.base_directory()
    math, code = (workspace.store.resolve(name).path for name in ("math", "code"))
    text = text.replace("model: math", f"model: {base}+{math}").replace(
        "saves/sql", f"{root}/saves/sql"
    )
    return text.replace(
        f"model: code@{workspace.store.resolve('code').digest[:8]}", f"model: {code}"
    )


def test_a_file_runs_as_it_is(workspace, base, zoo, tmp_path):
    code = workspace.store.resolve("code").digest[:8]
    text = TEXT.format(base=zoo.places["base"], code=code)
    write(workspace, "release", text)
    assert mergekit_name(workspace, ["merges/release.yaml"]) == "release"
    request = request_mergekit(workspace, "release", {}, base)
    built = build_mergekit(workspace, request)
    theirs = by_mergekit(zoo, as_paths(workspace, text), tmp_path / "theirs")
    assert distance(files.read(built.artifact.path), theirs) <= CLOSE
    assert built.document()["method"] == "mergekit/ties"
    assert {parent.name for parent in built.artifact.manifest.parents} == {"math", "code"}
    assert build_mergekit(workspace, request).reused


def test_the_command_line_builds_plans_and_lints(workspace, zoo, capfd):
    name = write(
        workspace,
        "averaged",
        "merge_method: linear\nmodels: [{model: math, parameters: {weight: 1}}]\n",
    )
    where = ["-C", str(workspace.root), "--json"]
    assert run([*where, "merge", f"merges/{name}.yaml", "--plan"]) == 0
    assert json.loads(capfd.readouterr().out)["would"] == "build"
    assert run([*where, "merge", name, "--no-check"]) == 0
    assert json.loads(capfd.readouterr().out)["method"] == "mergekit/linear"
    assert run([*where, "merge", name, "--plan"]) == 0
    assert json.loads(capfd.readouterr().out)["would"] == "reuse"
    assert run([*where, "merge", name, "--scale", "0.5"]) == 2
    write(workspace, "typo", "merge_method: tise\nmodels: [{model: math}]\n")
    assert run(["-C", str(workspace.root), "lint", str(workspace.root / "merges")]) == 2
    assert "merges/typo.yaml:1:15: unknown method of mergekit 'tise'" in capfd.readouterr().out
    (workspace.root / "merges" / "typo.yaml").unlink()


def test_a_foreign_base_and_a_missing_model_are_refused_at_their_place(workspace, base):
    write(
        workspace, "bad", "merge_method: linear\nbase_model: org/other\nmodels: [{model: math}]\n"
    )
    with pytest.raises(
        CompatibilityError, match=r"merges/bad.yaml:2:13: base_model is 'org/other'"
    ):
        request_mergekit(workspace, "bad", {}, base)
    adapted = f"{workspace.base.id}+saves/lora"
    text = f"merge_method: linear\nbase_model: {adapted}\nmodels: [{{model: math}}]\n"
    write(workspace, "bad", text)
    with pytest.raises(CompatibilityError, match=r"merges/bad.yaml:2:13: base_model") as caught:
        request_mergekit(workspace, "bad", {}, base)
    assert "with an adapter on it is another base" in str(caught.value.help)
    write(workspace, "bad", "merge_method: linear\nmodels: [{model: maths}]\n")
    with pytest.raises(SpecError, match=r"merges/bad.yaml:2:18: model is 'maths'; expected"):
        request_mergekit(workspace, "bad", {}, base)
    (workspace.root / "merges" / "bad.yaml").unlink()


@pytest.mark.parametrize(
    ("field", "value", "option"),
    [
        ("method", "ties", "--method"),
        ("weights", {"math": 0.5}, "--weight"),
        ("scale", 0.5, "--scale"),
        ("scale", 0.0, "--scale"),
        ("default_rules", False, "--default-rules"),
        ("parameters", {"density": 0.5}, "--set"),
        ("output", "adapter", "--output"),
        ("dtype", "float32", "--dtype"),
        ("rank", 4, "--rank"),
        ("before", ("pico",), "--before"),
        ("after", ("svc",), "--after"),
        ("rules", ("*=linear",), "--rule"),
    ],
)
def test_what_the_file_says_itself_is_no_option(workspace, base, field, value, option):
    write(workspace, "asked", "merge_method: linear\nmodels: [{model: math}]\n")
    with pytest.raises(UsageError, match=f"{option} cannot be used with a mergekit file"):
        request_mergekit(workspace, "asked", dict(**{field: value}), base)


def test_mergekits_methods_stay_on_the_processor(workspace, base):
    write(workspace, "asked", "merge_method: linear\nmodels: [{model: math}]\n")
    with pytest.raises(UsageError, match="--device is cuda; mergekit's methods run on"):
        request_mergekit(workspace, "asked", {"device": "cuda"}, base)


def test_a_copy_of_the_base_is_the_base(workspace, base, zoo):
    shutil.copytree(zoo.places["base"], workspace.root / "saves" / "copy")
    text = "merge_method: linear\nmodels: [{model: math}, {model: saves/copy}]\n"
    write(workspace, "copied", text)
    request = request_mergekit(workspace, "copied", {}, base)
    assert request.recipe.models["saves/copy"] is None
    assert [parent.name for parent in request.parents] == ["math"]


def test_a_domains_name_is_the_domain_and_a_path_is_the_file(tmp_path):
    (tmp_path / "merges").mkdir()
    (tmp_path / "domains" / "math").mkdir(parents=True)
    (tmp_path / "additive.yaml").write_text("version: 1\nbase: {model: org/base}\n")
    (tmp_path / "domains" / "math" / "domain.yaml").write_text("version: 1\n")
    for name in ("math", "both"):
        (tmp_path / "merges" / f"{name}.yaml").write_text("merge_method: linear\nmodels: []\n")
    found = Workspace(tmp_path)
    assert mergekit_name(found, ["math"]) is None
    assert mergekit_name(found, ["merges/math.yaml"]) == "math"
    assert mergekit_name(found, ["both"]) == "both"
    assert mergekit_name(found, ["both", "math"]) is None


def test_an_export_has_the_bases_numbers_and_no_path_that_mergekit_would_split(tmp_path):
    tensors = files.values(0)
    for few, many in (("float32", "bfloat16"), ("bfloat16", "float32")):
        mixed = {
            name: tensor.to(getattr(torch, few if "norm" in name else many))
            for name, tensor in tensors.items()
        }
        base = files.write_model(tmp_path / many, mixed)
        adapter = files.write_lora(tmp_path / "lora", 1)
        text = to_mergekit(recipe(source(adapter), scale=0.5), base)
        assert f"out_dtype: {many}\n" in text
        assert f'"{base}+{adapter}"' in text
        split = files.write_lora(tmp_path / "a+b", 1)
        with pytest.raises(UsageError, match=r"path of a\+b has a \+ when mergekit splits"):
            to_mergekit(recipe(source(split)), base)


RECIPES = {
    "sum": "{method: task_arithmetic, scale: 0.7, dtype: float32",
    "mean": "{method: linear, scale: 0.9, dtype: float32",
    "trimmed": "{method: {name: mergekit/ties, density: 0.3}, scale: 1.2, dtype: float32",
    "sphere": "{method: mergekit/multislerp, scale: 1, dtype: float32",
    "stock": "{method: mergekit/model_stock, scale: 1, dtype: float32",
}


@pytest.mark.parametrize("name", RECIPES)
def test_there_and_back(workspace, base, zoo, tmp_path, name):
    """Our recipe, its export in mergekit, and its export in additive give the same weights."""
    weight = 1 if name == "stock" else 0.4
    write(
        workspace,
        name,
        f"{RECIPES[name]}, version: 1, sources: [math, {{domain: code, weight: {weight}}}]}}",
    )
    ours = build_merge(workspace, request_merge(workspace, [name], {}, base))
    text = export_mergekit(workspace, name)
    write(workspace, f"{name}-back", text)
    back = build_mergekit(workspace, request_mergekit(workspace, f"{name}-back", {}, base))
    wanted = files.read(ours.artifact.path)
    assert distance(files.read(back.artifact.path), wanted) <= CLOSE
    assert distance(by_mergekit(zoo, text, tmp_path / "theirs"), wanted) <= CLOSE
    assert [p.digest for p in back.artifact.manifest.parents] == sorted(
        p.digest for p in ours.artifact.manifest.parents
    )


@pytest.mark.parametrize(
    ("recipe", "message", "help_"),
    [
        ("method: ties", "ties is computed otherwise by mergekit", "mergekit/ties"),
        ("method: tsv_m", "tsv_m is computed otherwise", "mergekit has no tsv_m"),
        ("output: adapter", "output is adapter", "output: checkpoint"),
        ("scale: validation", "scale of no is chosen on validation rows", "additive merge no"),
        ("method: mergekit/multislerp, scale: 0.5", "scale is 0.5 when", "scale: 1"),
        ("rules: [{match: '*norm*', method: base}]", "rules are given when mergekit", "None"),
        ("before: [pico]", "steps are given when mergekit", "None"),
        ("after: [svc]", "steps are given when mergekit", "None"),
        ("vocabulary: trim, scale: 1, method: linear", "vocabulary is trim", "vocabulary: same"),
        ("before: [balance], method: mergekit/karcher, scale: 1", "has no weights", "balance"),
    ],
)
def test_what_mergekit_computes_otherwise_is_not_exported(workspace, recipe, message, help_):
    write(workspace, "no", f"{{version: 1, sources: [math, code], {recipe}}}")
    with pytest.raises(UsageError, match=message) as caught:
        export_mergekit(workspace, "no")
    assert help_ in str(caught.value.help)
    (workspace.root / "merges" / "no.yaml").unlink()
