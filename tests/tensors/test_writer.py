from __future__ import annotations

import os
import random
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
import safetensors.torch
import torch

from additive.errors import CompatibilityError, IntegrityError, UnknownName, UsageError
from additive.tensors.header import ITEM_BYTES, name_of, torch_dtype
from additive.tensors.reader import open_file
from additive.tensors.writer import LayoutWriter, write_file

LIBRARY_DTYPES = [
    name for name in ITEM_BYTES if name != "F8_E8M0"
]  # the library's torch side lacks it


def tensors_of_every_dtype() -> dict[str, torch.Tensor]:
    made = {}
    for name in LIBRARY_DTYPES:
        for columns in (0, 1, 5):
            values = torch.arange(3 * columns).reshape(3, columns)
            made[f"{name.lower()}.{columns}"] = values.to(torch_dtype(name))
    return made | {"scalar": torch.tensor(1.25), "x.y-z": torch.ones(2, 2)}


# The library keeps metadata in a hash map: with more than one entry its own bytes vary.
@pytest.mark.parametrize("metadata", [None, {"quote": 'a "b" {c} \\ é'}])
def test_the_file_is_the_librarys_byte_for_byte(tmp_path, metadata):
    tensors = tensors_of_every_dtype()
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    write_file(ours, tensors, metadata)
    safetensors.torch.save_file(tensors, theirs, metadata)
    assert ours.read_bytes() == theirs.read_bytes()
    assert open_file(ours).headers[ours.name].metadata == (metadata or {})
    loaded = safetensors.torch.load_file(ours)
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        assert bytes(open_file(ours).bytes(name)) == data


def test_any_order_and_any_thread_gives_the_same_bytes(tmp_path):
    layout = [("w", "F32", (64, 3)), ("v", "BF16", (10,)), ("s", "F64", ()), ("z", "I64", (0, 2))]
    w, v = torch.randn(64, 3), torch.randn(10).bfloat16()
    scalar = torch.tensor(4.0, dtype=torch.float64)
    files = set()
    for seed in range(4):
        pieces = [("w", i, w[i : i + 4]) for i in range(0, 64, 4)]
        pieces += [("v", 0, v[:7]), ("v", 7, v[7:]), ("s", 0, scalar)]
        random.Random(seed).shuffle(pieces)
        path = tmp_path / f"{seed}.safetensors"
        with LayoutWriter(path, layout, {"k": "v"}) as writer, ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda piece: writer.write(*piece), pieces))
        files.add(path.read_bytes())
    assert len(files) == 1
    assert torch.equal(safetensors.torch.load_file(path)["w"], w)
    assert open_file(path).names() == ("w", "v", "s", "z")


def test_bytes_and_strided_tensors_are_written_as_they_mean(tmp_path):
    w = torch.randn(4, 6)
    with LayoutWriter(tmp_path / "t", [("t", "F32", (6, 4)), ("raw", "F32", (4, 6))]) as writer:
        writer.write("t", 0, w.T)
        writer.write("raw", 0, w.numpy().tobytes())
    read = safetensors.torch.load_file(tmp_path / "t")
    assert torch.equal(read["t"], w.T)
    assert torch.equal(read["raw"], w)


def test_a_file_with_missing_rows_never_appears(tmp_path):
    path, layout = tmp_path / "x.safetensors", [("w", "F32", (4, 2))]
    writer = LayoutWriter(path, layout)
    writer.write("w", 0, torch.zeros(3, 2))
    with pytest.raises(IntegrityError, match="rows of tensor 'w' were never written"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_whose_writing_failed_never_appears(tmp_path):
    def fail_after_writing() -> None:
        with LayoutWriter(tmp_path / "x.safetensors", [("w", "F32", (4, 2))]) as writer:
            writer.write("w", 0, torch.zeros(4, 2))
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_writing()
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused(tmp_path):
    with LayoutWriter(tmp_path / "x", [("w", "F32", (4, 2))]) as writer:
        writer.write("w", 1, torch.zeros(2, 2))
        for row, data in (
            (2, torch.zeros(1, 2)),
            (0, torch.zeros(2, 2)),
            (3, torch.zeros(2, 2)),
            (-1, torch.zeros(1, 2)),
            (0, torch.zeros(1, 2).half()),
            (0, torch.zeros(2)),
            (0, torch.zeros(1, 3)),
        ):
            with pytest.raises(UsageError):
                writer.write("w", row, data)
        with pytest.raises(UnknownName):
            writer.write("v", 0, torch.zeros(1))
        writer.write("w", 3, torch.zeros(1, 2))
        writer.write("w", 0, torch.zeros(1, 2))
    with pytest.raises(UsageError, match="twice"):
        LayoutWriter(tmp_path / "y", [("w", "F32", (1,)), ("w", "F32", (1,))])


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_the_mode_follows_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_file(tmp_path / "x", {"a": torch.ones(1)})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode


def test_dtypes_go_there_and_back():
    for name in ITEM_BYTES:
        assert name_of(torch_dtype(name)) == name
        assert torch.empty(1, dtype=torch_dtype(name)).element_size() == ITEM_BYTES[name]
    with pytest.raises(CompatibilityError, match="F4"):
        torch_dtype("F4")
    with pytest.raises(CompatibilityError, match="quint8"):
        name_of(torch.quint8)


def test_bytes_go_where_they_are_told_even_in_the_middle_of_a_row(tmp_path):
    w = torch.randn(4, 6)
    data = w.numpy().tobytes()
    with LayoutWriter(tmp_path / "w", [("v", "U8", (3,)), ("w", "F32", (4, 6))]) as writer:
        writer.write("v", 0, b"abc")
        for start in (50, 0, 7):
            writer.write_at("w", start, data[start : {0: 7, 7: 50, 50: 96}[start]])
        with pytest.raises(UsageError, match="before"):
            writer.write_at("w", 95, b"x")
        with pytest.raises(UsageError, match="outside"):
            writer.write_at("w", 96, b"x")
    assert torch.equal(safetensors.torch.load_file(tmp_path / "w")["w"], w)
