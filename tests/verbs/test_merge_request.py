"""What a merge is asked to be: the same request, the same merge; faults come before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from additive.artifacts.manifest import (
    BaseIdentity,
    DataEntry,
    ManifestDraft,
    Snapshot,
    identify_base,
)
from additive.artifacts.seal import base_digest
from additive.artifacts.store import Store
from additive.errors import CompatibilityError, UnknownName, UsageError
from additive.verbs.built_merge import find_merge, resolve_merge
from additive.verbs.merge_request import request_merge
from additive.workspace.workspace import Workspace

NAMES = ("math", "code", "safety")


@pytest.fixture
def base() -> BaseIdentity:
    return base_of("a" * 64)


def base_of(weights: str) -> BaseIdentity:
    digest = base_digest(weights, "b" * 64, None, None)
    return BaseIdentity(id="tiny", weights=weights, config="b" * 64, digest=digest)


@pytest.fixture
def workspace(tmp_path, base) -> Workspace:
    (tmp_path / "additive.yaml").write_text(
        "version: 1\nbase: {model: tiny}\nmerge: {scale: 1.0}\n"
    )
    (tmp_path / "merges").mkdir()
    for name in NAMES:
        directory = tmp_path / "domains" / name
        directory.mkdir(parents=True)
        (directory / "domain.yaml").write_text("version: 1\n")
        for split in ("train", "validation"):
            row = {"prompt": f"{name} {split}", "completion": "x"}
            (directory / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    found = Workspace(tmp_path)
    for seed, name in enumerate(NAMES):
        freeze(found.store, name, base, seed)
    return found


def freeze(store: Store, name: str, base: BaseIdentity, seed: int) -> None:
    import torch
    from safetensors.torch import save_file

    with store.staging("specialist", name) as staged:
        for directory in (staged, staged / "snapshots" / "0.5"):
            directory.mkdir(parents=True, exist_ok=True)
            weights = {"base_model.model.w.lora_A.weight": torch.full((2, 4), float(seed + 1))}
            save_file(weights, directory / "adapter_model.safetensors")
            (directory / "adapter_config.json").write_text(
                '{"peft_type": "LORA", "r": 2, "lora_alpha": 4}'
            )
        draft = ManifestDraft(
            kind="specialist",
            name=name,
            base=base,
            data={"train.jsonl": DataEntry(sha256="d" * 64, rows=1, license="CC0-1.0")},
            seed=seed,
            snapshots=(Snapshot(fraction=0.5, step=10, path="snapshots/0.5"),),
        )
        store.freeze(staged, draft)


def test_another_device_is_another_request_and_the_processor_is_not_mentioned(workspace, base):
    asked = [request_merge(workspace, NAMES, {"device": d}, base) for d in ("cpu", "cuda")]
    assert "device" not in asked[0].record()
    assert asked[1].record() == {**asked[0].record(), "device": "cuda"}


def test_the_order_of_the_command_line_is_no_part_of_a_merge(workspace, base):
    first = request_merge(workspace, ["math", "code", "safety"], {}, base)
    second = request_merge(workspace, ["safety", "math", "code"], {}, base)
    assert first.record() == second.record()


@pytest.mark.parametrize(
    "change",
    [
        {"method": "ties"},
        {"weights": {"math": 0.5}},
        {"scale": 0.7},
        {"output": "adapter"},
        {"dtype": "float32"},
        {"seed": 3},
        {"parameters": {"normalize": True}},
    ],
)
def test_every_option_makes_another_merge(workspace, base, change):
    plain = request_merge(workspace, ["math", "code"], {}, base)
    other = request_merge(workspace, ["math", "code"], dict(**change), base)
    assert plain.record() != other.record()
    assert plain.name == other.name


def test_a_snapshot_is_another_source(workspace, base):
    whole = request_merge(workspace, ["math", "code"], {}, base)
    early = request_merge(workspace, ["math#0.5", "code"], {}, base)
    assert whole.record() != early.record()
    source = next(s for s in early.sources if s.artifact.name == "math")
    assert source.directory == source.artifact.path / "snapshots" / "0.5"


def test_one_source_is_named_after_the_base(workspace, base):
    assert request_merge(workspace, ["math"], {}, base).name == "base+math"


def test_a_recipe_says_what_the_command_line_does_not(workspace, base):
    text = (
        "version: 1\nsources: [math, {domain: code, weight: 0.5}]\n"
        "method: {name: ties, density: 0.3}\nscale: 0.8\n"
    )
    (workspace.root / "merges" / "release.yaml").write_text(text)
    request = request_merge(workspace, ["merges/release.yaml"], {"scale": 0.6}, base)
    assert (request.name, request.recipe.scale) == ("release", 0.6)
    assert request.recipe.method.resolved() == {"name": "ties", "density": 0.3}
    assert {s.artifact.name: s.weight for s in request.sources} == {"math": 1.0, "code": 0.5}
    assert request.record() == request_merge(workspace, ["release"], {"scale": 0.6}, base).record()


def test_a_recipe_that_was_built_is_still_a_recipe(workspace, base):
    (workspace.root / "merges" / "release.yaml").write_text("version: 1\nsources: [math, code]\n")
    request = request_merge(workspace, ["release"], {}, base)
    with workspace.store.staging("merge", "release") as staged:
        copy_base(staged)
        draft = ManifestDraft(kind="merge", name="release", spec={"request": request.record()})
        workspace.store.freeze(staged, draft)
    for name in ("release", "merges/release.yaml"):
        again = request_merge(workspace, [name], {}, base)
        assert again.record() == request.record()
        assert find_merge(workspace, again) is not None


def test_what_is_not_trained_says_how_to_train_it(workspace, base):
    (workspace.root / "domains" / "logic").mkdir()
    (workspace.root / "domains" / "logic" / "domain.yaml").write_text("version: 1\n")
    with pytest.raises(UsageError) as caught:
        request_merge(workspace, ["math", "logic"], {}, base)
    assert caught.value.help == "additive train logic"


def test_a_typo_is_answered_with_the_nearest_name(workspace, base):
    with pytest.raises(UnknownName, match="did you mean 'safety'"):
        request_merge(workspace, ["math", "safty"], {}, base)
    with pytest.raises(UnknownName, match="did you mean 'code'"):
        request_merge(workspace, ["math", "code"], {"weights": {"cod": 1.0}}, base)


def test_names_that_are_offered_are_those_that_would_do_each_once(workspace, base):
    with workspace.store.staging("merge", "release") as staged:
        copy_base(staged)
        workspace.store.freeze(staged, ManifestDraft(kind="merge", name="release"))
    with pytest.raises(UnknownName) as caught:
        request_merge(workspace, ["math", "safty"], {}, base)
    assert caught.value.known == sorted(NAMES)
    with pytest.raises(UnknownName) as caught:
        request_merge(workspace, ["math", "code"], {"weights": {"cod": 1.0}}, base)
    assert caught.value.known == ["code", "math"]


def test_a_delta_of_another_base_is_refused_with_both_digests(workspace, base):
    other = base_of("e" * 64)
    with pytest.raises(CompatibilityError, match=f"{base.digest[:8]}.*{other.digest[:8]}"):
        request_merge(workspace, ["math"], {}, other)


def test_a_merge_is_found_by_its_request_and_by_its_domains_in_any_order(workspace, base):
    request = request_merge(workspace, ["math", "code"], {}, base)
    assert find_merge(workspace, request) is None
    with workspace.store.staging("merge", request.name) as staged:
        copy_base(staged)
        draft = ManifestDraft(kind="merge", name=request.name, spec={"request": request.record()})
        made = workspace.store.freeze(staged, draft)
    found = find_merge(workspace, request)
    assert found is not None
    assert found.digest == made.digest
    assert resolve_merge(workspace, "code+math").digest == made.digest
    with pytest.raises(UnknownName) as caught:
        resolve_merge(workspace, "math+safety")
    assert caught.value.help == "additive merge math safety"
    with pytest.raises(UsageError, match="is a specialist"):
        resolve_merge(workspace, "math")


def copy_base(directory: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2, 2)}, directory / "model.safetensors")
    (directory / "config.json").write_text('{"model_type": "llama"}')
    assert identify_base(directory, "copy").weights
