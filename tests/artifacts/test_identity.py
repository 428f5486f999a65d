from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from additive.artifacts.content import (
    cached_leaves,
    config_digest,
    template_digest,
    tokenizer_digest,
)
from additive.artifacts.manifest import Manifest, Parent, identify_base, read_manifest
from additive.artifacts.store import Store
from additive.errors import FormatError, IntegrityError
from additive.tensors.writer import write_file
from tests.artifacts.making import freeze_one, outdate, some_base, write_adapter


def write_base(directory: Path, shards: int = 1) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {f"layer.{i}.weight": torch.full((4, 4), float(i)) for i in range(6)}
    if shards == 1:
        write_file(directory / "model.safetensors", tensors)
    else:
        weight_map = {}
        for number in range(shards):
            name = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
            part = {n: t for i, (n, t) in enumerate(tensors.items()) if i % shards == number}
            write_file(directory / name, part, {"format": "pt"})
            weight_map |= dict.fromkeys(part, name)
        text = json.dumps({"weight_map": weight_map})
        (directory / "model.safetensors.index.json").write_text(text)
    write_json(directory / "config.json", {"hidden_size": 4, "transformers_version": "5.0"})
    write_json(directory / "tokenizer.json", {"model": {"vocab": {"a": 0}}, "padding": None})
    write_json(directory / "tokenizer_config.json", {"eos_token": "</s>", "chat_template": "{{x}}"})
    return directory


def parent(name: str) -> Parent:
    return Parent(name=name, digest="1" * 64)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def test_a_base_is_the_same_in_any_place_shards_and_name(tmp_path):
    one = identify_base(write_base(tmp_path / "one"), "org/model", "main")
    two = identify_base(write_base(tmp_path / "two", shards=3), "./elsewhere")
    assert one.digest == two.digest
    assert (one.id, two.revision) == ("org/model", None)


def test_every_part_of_a_base_counts(tmp_path):
    digests = {identify_base(write_base(tmp_path / "0"), "b").digest}
    changes = {
        "config.json": {"hidden_size": 8},
        "generation_config.json": {"eos_token_id": 3},
        "tokenizer.json": {"model": {"vocab": {"b": 0}}},
        "tokenizer_config.json": {"eos_token": "</s>", "chat_template": "{{y}}"},
    }
    for name, value in changes.items():
        directory = write_base(tmp_path / name)
        write_json(directory / name, value)
        digests.add(identify_base(directory, "b").digest)
    directory = write_base(tmp_path / "weights")
    write_file(directory / "model.safetensors", {"layer.0.weight": torch.zeros(4, 4)})
    digests.add(identify_base(directory, "b").digest)
    assert len(digests) == len(changes) + 2


def test_versions_paths_and_run_time_state_do_not_count(tmp_path):
    directory = write_base(tmp_path)
    before = identify_base(directory, "b")
    write_json(
        directory / "config.json",
        {"_name_or_path": "/home/x", "transformers_version": "6", "hidden_size": 4},
    )
    write_json(
        directory / "tokenizer.json",
        {
            "truncation": {"max_length": 9},
            "padding": {"strategy": "x"},
            "model": {"vocab": {"a": 0}},
        },
    )
    (directory / "chat_template.jinja").write_text("{{x}}")
    settings = {"eos_token": {"content": "</s>", "lstrip": False}, "tokenizer_class": "Other"}
    write_json(directory / "tokenizer_config.json", settings)
    assert identify_base(directory, "b") == before


def test_adapter_configs_do_not_depend_on_the_hash_seed_or_the_place_of_the_base(tmp_path):
    write_adapter(tmp_path)
    path, before = tmp_path / "adapter_config.json", config_digest(tmp_path)
    config = json.loads(path.read_text())
    same = {
        "target_modules": ["v_proj", "q_proj"],
        "base_model_name_or_path": "/x",
        "peft_version": "1",
    }
    write_json(path, config | same)
    assert config_digest(tmp_path) == before
    for change in ({"target_modules": ["q_proj"]}, {"lora_alpha": 8}, {"use_rslora": True}):
        write_json(path, config | change)
        assert config_digest(tmp_path) != before


def test_tokenizers_and_templates_in_their_several_forms(tmp_path):
    assert tokenizer_digest(tmp_path) is None
    assert template_digest(tmp_path) is None
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "merges.txt").write_text("a b")
    slow = tokenizer_digest(tmp_path)
    (tmp_path / "merges.txt").write_text("a c")
    assert slow not in (None, tokenizer_digest(tmp_path))
    named = [{"name": "default", "template": "{{x}}"}]
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": named})
    single = template_digest(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": "{{x}}"})
    assert template_digest(tmp_path) == single
    named.append({"name": "tool_use", "template": "{{y}}"})
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": named})
    assert template_digest(tmp_path) != single
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": 3})
    with pytest.raises(IntegrityError, match="chat_template"):
        template_digest(tmp_path)


def test_identity_binds_what_it_is_and_nothing_else(tmp_path):
    store = Store(tmp_path / "store")
    first = freeze_one(store)
    same = {
        "seed": 9,
        "notes": ("other",),
        "versions": {"torch": "9"},
        "hardware": {"gpu": "H200"},
        "times": {"started": "2030"},
        "base": some_base().model_copy(update={"id": "elsewhere", "revision": "r"}),
        "parents": (Parent(name="renamed", digest="3" * 64, weight=0.5),),
    }
    for field, value in same.items():
        assert freeze_one(store, **{field: value}).digest == first.digest, field
    other = {
        "spec": {"rank": 4},
        "base": None,
        "parents": (Parent(name="older", digest="3" * 64, weight=0.25),),
    }
    digests = {freeze_one(store, **{field: value}).digest for field, value in other.items()}
    digests |= {freeze_one(store, 2.0).digest, first.digest}
    assert len(digests) == len(other) + 2


def test_the_order_of_parents_does_not_count(tmp_path):
    store = Store(tmp_path / "store")
    parents = tuple(
        Parent(name=n, digest=d * 64, weight=w) for n, d, w in (("a", "1", 0.5), ("b", "2", 1))
    )
    one = freeze_one(store, parents=parents)
    assert freeze_one(store, parents=parents[::-1]) == one
    crossed = tuple(
        p.model_copy(update={"weight": q.weight})
        for p, q in zip(parents, parents[::-1], strict=True)
    )
    assert freeze_one(store, parents=crossed) != one


def test_a_manifest_goes_to_json_and_back(tmp_path):
    manifest = freeze_one(Store(tmp_path / "store")).manifest
    assert Manifest.model_validate_json(manifest.text()) == manifest
    assert manifest.fields()["schema"] == "additive.manifest/2"
    with pytest.raises(ValueError, match="frozen"):
        manifest.name = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_has_not_are_refused(tmp_path, value):
    store = Store(tmp_path / "store")
    with pytest.raises(IntegrityError, match="manifest cannot be written"):
        freeze_one(store, norms={"w": value})
    assert store.all() == ()


def test_a_manifest_of_another_version_is_refused_by_name(tmp_path):
    artifact = freeze_one(Store(tmp_path / "store"))
    path = artifact.path / "manifest.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("additive.manifest/2", "additive.manifest/3"))
    with pytest.raises(IntegrityError, match=r"additive\.manifest/3.*additive\.manifest/2"):
        read_manifest(artifact.path)


@pytest.mark.parametrize(
    ("draft", "help"),
    [
        ({}, "train it again: additive train math"),
        (
            {"spec": {"adopted": {"base": "claimed"}}},
            "adopt it again: additive adopt DIR --as math",
        ),
        (
            {"kind": "merge", "parents": (parent("math"), parent("code"))},
            "merge it again: additive merge math code",
        ),
        ({"kind": "merge", "parents": (parent("a; rm"),)}, "merge it again: additive merge …"),
        ({"kind": "merge", "parents": ()}, "merge it again: additive merge …"),
    ],
)
def test_what_an_older_additive_froze_is_refused_with_the_command_to_rebuild(tmp_path, draft, help):
    store = Store(tmp_path / "store")
    artifact = freeze_one(store, **draft)
    outdate(artifact.path)
    with pytest.raises(FormatError, match=r"additive\.manifest/1.*additive\.manifest/2") as raised:
        store.resolve("math")
    assert (raised.value.exit_code, raised.value.help) == (3, help)
    assert store.current("math") == () and store.versions("math") == (artifact,)


def test_a_base_is_hashed_once_and_again_when_it_changed(tmp_path, monkeypatch):
    directory, cache = write_base(tmp_path / "base", shards=2), tmp_path / "cache"
    monkeypatch.setattr("additive.artifacts.content._RACY_NS", 0)
    first = identify_base(directory, "b", cache=cache)
    entries = list((cache / "leaves").iterdir())
    assert len(entries) == 1
    with monkeypatch.context() as patch:
        patch.delattr("additive.artifacts.content.leaves_of")
        assert identify_base(directory, "b", cache=cache) == first
    shard = directory / "model-00001-of-00002.safetensors"
    status, data = shard.stat(), shard.read_bytes()
    shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert identify_base(directory, "b", cache=cache).weights != first.weights, "mtime may lie"


def test_a_base_that_was_just_written_is_not_cached(tmp_path):
    directory, cache = write_base(tmp_path / "base"), tmp_path / "cache"
    identify_base(directory, "b", cache=cache)
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"leaves": [], "seal": "x"}', "changed"])
def test_a_damaged_cache_is_made_again(tmp_path, monkeypatch, damage):
    directory, cache = write_base(tmp_path / "base"), tmp_path / "cache"
    monkeypatch.setattr("additive.artifacts.content._RACY_NS", 0)
    first = cached_leaves(directory, cache=cache)
    (entry,) = (cache / "leaves").iterdir()
    text = entry.read_text()
    entry.write_text(text.replace("layer.0", "layer.9") if damage == "changed" else damage)
    assert cached_leaves(directory, cache=cache) == first
    assert entry.read_text() == text
