from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from additive.errors import IntegrityError, SecurityError, UnknownName, UsageError
from additive.tensors.reader import leaves_of, open_checkpoint, open_file
from additive.types.digests import weights_digest


def some_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "a.weight": torch.randn(6, 4, generator=generator),
        "b.weight": torch.randn(5, 3, 2, generator=generator).bfloat16(),
        "c.bias": torch.randn(3, generator=generator).half(),
        "d.scalar": torch.tensor(2.5, dtype=torch.float64),
        "e.empty": torch.zeros(0, 7),
        "f.ids": torch.arange(9),
    }


def write_sharded(directory: Path, parts: list[dict[str, torch.Tensor]]) -> None:
    weight_map = {}
    for number, part in enumerate(parts, start=1):
        shard = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        safetensors.torch.save_file(part, directory / shard)
        weight_map |= dict.fromkeys(part, shard)
    write_index(directory, weight_map)


def write_index(directory: Path, weight_map: object) -> None:
    index = directory / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_reads_what_the_library_wrote(tmp_path):
    tensors = some_tensors()
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with open_checkpoint(tmp_path) as checkpoint:
        assert sorted(checkpoint.names()) == sorted(tensors)
        assert checkpoint.headers["model.safetensors"].metadata == {"format": "pt"}
        for name, tensor in tensors.items():
            read = checkpoint.tensor(name)
            assert read.dtype == tensor.dtype
            assert read.shape == tensor.shape
            assert torch.equal(read, tensor)


def test_tensors_are_views_of_the_file_and_writing_into_one_changes_no_byte(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(some_tensors(), path)
    before = path.read_bytes()
    checkpoint = open_checkpoint(tmp_path)
    first, second = checkpoint.tensor("a.weight"), checkpoint.tensor("a.weight")
    assert first.data_ptr() == second.data_ptr()
    first.add_(1)
    assert path.read_bytes() == before


def test_a_tensor_outlives_its_checkpoint(tmp_path):
    safetensors.torch.save_file(some_tensors(), tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path) as checkpoint:
        tensor = checkpoint.tensor("a.weight")
    assert torch.equal(tensor, some_tensors()["a.weight"])


def test_rows_are_slices_and_strange_rows_are_refused(tmp_path):
    safetensors.torch.save_file(some_tensors(), tmp_path / "model.safetensors")
    checkpoint = open_checkpoint(tmp_path)
    assert torch.equal(checkpoint.rows("b.weight", 1, 4), some_tensors()["b.weight"][1:4])
    for start, stop in ((-1, 2), (3, 2), (0, 6)):
        with pytest.raises(UsageError):
            checkpoint.rows("b.weight", start, stop)
    with pytest.raises(UsageError):
        checkpoint.rows("d.scalar", 0, 1)
    with pytest.raises(UnknownName, match=r"did you mean 'a\.weight'"):
        checkpoint.tensor("a.weigth")


def test_a_misaligned_tensor_is_read_right(tmp_path):
    header = json.dumps(
        {
            "odd": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
            "wide": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]},
        }
    ).encode()
    values = torch.tensor([1.5, -2.0])
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\7" + values.numpy().tobytes())
    read = open_file(path).tensor("wide")
    assert torch.equal(read, values)
    assert read.data_ptr() % read.element_size() == 0


def test_sharding_changes_neither_tensors_nor_the_weights_digest(tmp_path):
    tensors = some_tensors()
    names = sorted(tensors)
    digests = set()
    for cuts in ([names], [names[:2], names[2:]], [[n] for n in reversed(names)]):
        directory = tmp_path / str(len(cuts))
        directory.mkdir()
        if len(cuts) == 1:
            safetensors.torch.save_file(tensors, directory / "model.safetensors")
        else:
            write_sharded(directory, [{n: tensors[n] for n in part} for part in cuts])
        checkpoint = open_checkpoint(directory)
        assert all(torch.equal(checkpoint.tensor(n), tensors[n]) for n in names)
        digests |= {weights_digest(leaves_of(checkpoint, threads=t)) for t in (1, 3)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "target",
    ["../secret.safetensors", "/etc/passwd", "sub/m.safetensors", "model.bin", "", 3, None, "a\0b"],
)
def test_an_index_that_points_elsewhere_is_refused(tmp_path, target):
    write_sharded(tmp_path, [{"a": torch.ones(2)}, {"b": torch.ones(2)}])
    write_index(tmp_path, {"a": "model-00001-of-00002.safetensors", "b": target})
    with pytest.raises(SecurityError, match="weight_map"):
        open_checkpoint(tmp_path)


def test_an_index_must_say_exactly_what_the_shards_hold(tmp_path):
    write_sharded(tmp_path, [{"a": torch.ones(2), "c": torch.ones(1)}, {"b": torch.ones(2)}])
    first, second = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    for weight_map in (
        {"a": first, "b": second},
        {"a": first, "b": second, "c": second},
        {"a": first, "b": second, "c": first, "d": first},
        {"a": first, "c": first},
        {"a": first, "b": second, "c": "model-00003-of-00002.safetensors"},
        {},
        ["a"],
    ):
        write_index(tmp_path, weight_map)
        with pytest.raises(IntegrityError):
            open_checkpoint(tmp_path)
    write_index(tmp_path, {"a": first, "b": second, "c": first})
    assert len(open_checkpoint(tmp_path).names()) == 3


def test_mixed_layouts_are_refused(tmp_path):
    write_sharded(tmp_path, [{"a": torch.ones(2)}, {"b": torch.ones(2)}])
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(IntegrityError, match="belongs to no tensor") as caught:
        open_checkpoint(tmp_path)
    assert "two layouts" in (caught.value.help or "")


def test_nothing_there_says_so(tmp_path):
    with pytest.raises(IntegrityError, match=r"no model\.safetensors"):
        open_checkpoint(tmp_path)
    with pytest.raises(IntegrityError, match="directory is missing"):
        open_checkpoint(tmp_path / "nowhere")


def test_an_index_of_a_million_entries_is_refused_before_it_is_parsed(tmp_path):
    write_sharded(tmp_path, [{"a": torch.ones(2)}])
    write_index(tmp_path, {f"a{i}": "model-00001-of-00001.safetensors" for i in range(300_001)})
    with pytest.raises(IntegrityError, match="more than 300000 entries"):
        open_checkpoint(tmp_path)
