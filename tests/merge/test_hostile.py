"""Hostile files as inputs of a merge: refused by the plan, quickly, without large allocations."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest

from additive.errors import RefusedError
from additive.merge.plan import plan
from tests.merge import files
from tests.merge.making import merge, recipe, source

SECONDS = 2.0  # of processor time, so that a loaded machine changes nothing
MEGABYTES = 64
TRAVERSALS = ("../model.safetensors", "/etc/passwd", "a/b.safetensors", "..\\x", "x\x1b[31m")
Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def raw(path, header, data=b""):
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def entry(start, end, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def overlapping(root):
    raw(root / "adapter_model.safetensors", {Q: entry(0, 8), "b": entry(4, 12)}, bytes(12))


def duplicated(root):
    one = json.dumps(entry(0, 8))
    raw(root / "adapter_model.safetensors", f'{{"a":{one},"a":{one}}}'.encode(), bytes(8))


def huge_header(root):
    with (root / "adapter_model.safetensors").open("wb") as file:
        file.write((2**40).to_bytes(8, "little") + b"{}")


def deep_header(root):
    raw(root / "adapter_model.safetensors", b'{"a":' + b"[" * 1_000_000)


def huge_shape(root):
    shape = (2**31, 2**31, 2**31)
    raw(root / "adapter_model.safetensors", {Q: entry(0, 8, shape)}, bytes(8))


def control_characters(root):
    raw(root / "adapter_model.safetensors", {"a\x1b[2J\u202e": entry(0, 8)}, bytes(8))


def truncated(root):
    path = root / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def a_pickle_instead(root):
    (root / "adapter_model.safetensors").unlink()
    (root / "adapter_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")


def configuration_of_ten_megabytes(root):
    files.configure(root, r=4, note="x" * 10_000_000)


def deep_configuration(root):
    (root / "adapter_config.json").write_text('{"a":' + "[" * 200_000 + "]" * 200_000 + "}")


ADAPTERS = {
    overlapping: "overlaps what is before it",
    duplicated: "tensor 'a' is there twice",
    huge_header: "header says 1099511627776 bytes; the file has 10",
    deep_header: "is not a small JSON object",
    huge_shape: "has 8 bytes; expected",
    control_characters: "expected 1 to 256 of A-Z a-z 0-9",
    truncated: "tensors end at byte",
    a_pickle_instead: "adapter_model.safetensors: file is missing",
    configuration_of_ten_megabytes: "note is set",
    deep_configuration: "JSON is nested too deeply",
}


def refused(base, directory):
    """Plan in vain; processor seconds and megabytes at the peak."""
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(RefusedError) as caught:
            plan(recipe(source(directory, name="math")), base)
        seconds = time.process_time() - started
        return str(caught.value), seconds, tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("poison", ADAPTERS)
def test_adapters(tmp_path, base, poison):
    directory = files.write_lora(tmp_path / "math", 1)
    poison(directory)
    message, seconds, megabytes = refused(base, directory)
    assert ADAPTERS[poison] in message
    assert "\x1b" not in message
    assert "\u202e" not in message
    assert seconds < SECONDS
    assert megabytes < MEGABYTES


@pytest.mark.parametrize("target", TRAVERSALS)
def test_an_index_that_leaves_its_directory(tmp_path, base, target):
    directory = files.write_fine_tune(tmp_path / "full", base, 1, shards=2)
    path = directory / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    name = next(iter(index["weight_map"]))
    index["weight_map"][name] = target
    path.write_text(json.dumps(index))
    message, seconds, _ = refused(base, directory)
    assert "no plain file name" in message
    assert "\x1b" not in message
    assert seconds < SECONDS


@pytest.mark.parametrize("outside", ["../other.safetensors", "below/other.safetensors"])
def test_a_shard_of_another_directory_is_not_read_though_it_is_there_and_fits(
    tmp_path, base, outside
):
    directory = files.write_fine_tune(tmp_path / "full", base, 1, shards=2)
    path = directory / "model.safetensors.index.json"
    shard = sorted(directory.glob("*.safetensors"))[0]
    (directory / "below").mkdir()
    shard.rename(directory / outside)
    path.write_text(path.read_text().replace(shard.name, outside))
    assert "no plain file name" in refused(base, directory)[0]


@pytest.mark.parametrize("key", ["auto_map", "_attn_implementation_internal"])
def test_a_configuration_that_names_code_is_never_copied(tmp_path, base, key):
    """The output has the base's config, whatever a source's says."""
    directory = files.write_fine_tune(tmp_path / "full", base, 1)
    files.configure(directory, "config.json", **{key: {"AutoModel": "evil.Model"}})
    merge(tmp_path / "out", base, recipe(source(directory)))
    assert key not in (tmp_path / "out" / "config.json").read_text()
    assert not list((tmp_path / "out").glob("*.py"))


CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json")


@pytest.mark.parametrize("file", CONFIGS)
@pytest.mark.parametrize(
    "code",
    [
        {"auto_map": {"AutoModel": "evil.Model"}},
        {"text_config": {"trust_remote_code": True}},
        {"_attn_implementation_internal": "someone/evil-kernel"},
        {"note": "x" * 10_000_000, "use_kernels": True},
    ],
    ids=lambda code: next(reversed(code)),
)
def test_a_base_that_names_code(tmp_path, base, file, code):
    """What the output would take over from it."""
    directory = files.write_lora(tmp_path / "math", 1)
    (base / file).touch()
    own = json.loads((base / file).read_text() or "{}")
    (base / file).write_text(json.dumps(own | code))
    message, seconds, megabytes = refused(base, directory)
    assert file in message
    assert "it makes the loader run code" in message
    assert seconds < SECONDS
    assert megabytes < MEGABYTES


@pytest.mark.parametrize("file", CONFIGS)
def test_a_base_with_a_deep_configuration(tmp_path, base, file):
    directory = files.write_lora(tmp_path / "math", 1)
    (base / file).write_text('{"a":' + "[" * 200_000 + "]" * 200_000 + "}")
    message, seconds, _ = refused(base, directory)
    assert f"{file}: JSON is nested too deeply" in message
    assert seconds < SECONDS


def test_a_poisoned_template_of_a_source_is_refused(tmp_path, base):
    (base / "chat_template.jinja").write_text("{{ messages }}")
    directory = files.write_lora(tmp_path / "math", 1)
    (directory / "chat_template.jinja").write_text("{% for i in range(10**9) %}{{ i }}{% endfor %}")
    message, seconds, _ = refused(base, directory)
    assert "chat template" in message
    assert seconds < SECONDS
