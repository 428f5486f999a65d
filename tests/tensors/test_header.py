from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from additive.errors import IntegrityError, RefusedError, SecurityError
from additive.tensors.header import MAX_TENSORS, read_header
from additive.tensors.reader import open_file


def write_raw(
    path: Path, header: bytes | str, data: bytes = b"", length: int | None = None
) -> Path:
    text = header.encode() if isinstance(header, str) else header
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(
    start: int, end: int, shape: list[Any] | None = None, dtype: str = "U8"
) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [end - start] if shape is None else shape,
        "data_offsets": [start, end],
    }


def test_a_header_is_read_in_file_order_with_its_metadata(tmp_path):
    tensors = {"b": torch.ones(2, 3), "a": torch.ones(5, dtype=torch.bfloat16), "z": torch.ones(())}
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file(tensors, path, {"format": "pt", "note": 'a {brace} "quote"'})
    header = read_header(path)
    assert header.metadata == {"format": "pt", "note": 'a {brace} "quote"'}
    assert header.file_bytes == path.stat().st_size
    starts = [info.start for info in header.tensors.values()]
    assert starts == sorted(starts)
    b = header.tensors["b"]
    assert (b.dtype, b.shape, b.nbytes, b.numel, b.row_bytes) == ("F32", (2, 3), 24, 6, 12)
    assert header.tensors["z"].row_bytes == 4


def test_spaces_and_any_order_of_keys_are_json_too(tmp_path):
    text = '{ "a" : {"shape":[2], "data_offsets":[0,2],\n "dtype":"U8"} ,"__metadata__":{ } } \n '
    header = read_header(write_raw(tmp_path / "x", text, b"ab"))
    assert header.tensors["a"].shape == (2,)
    assert read_header(write_raw(tmp_path / "y", "{}")).tensors == {}


REFUSED: dict[str, tuple[bytes | str, bytes]] = {
    "not json": ("{nonsense", b""),
    "array": ("[]", b""),
    "nothing": ("  ", b""),
    "truncated json": ('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}', b"a"),
    "trailing comma": ('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},}', b"a"),
    "text after the end": ('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}{}', b"a"),
    "not utf-8": (b'{"__metadata__":{"a":"\xff"}}', b""),
    "dtype not utf-8": (b'{"a":{"dtype":"U8\xff","shape":[1],"data_offsets":[0,1]}}', b"a"),
    "overlap": (json.dumps({"a": entry(0, 4), "b": entry(2, 6)}), b"abcdef"),
    "same bytes twice": (json.dumps({"a": entry(0, 4), "b": entry(0, 4)}), b"abcd"),
    "hole": (json.dumps({"a": entry(0, 2), "b": entry(4, 6)}), b"abcdef"),
    "hole before": (json.dumps({"a": entry(2, 4)}), b"abcd"),
    "trailing bytes": (json.dumps({"a": entry(0, 2)}), b"abc"),
    "truncated data": (json.dumps({"a": entry(0, 4)}), b"abc"),
    "falling offsets": (json.dumps({"a": entry(4, 2)}), b"abcd"),
    "negative offsets": (json.dumps({"a": entry(-2, 0)}), b""),
    "unknown dtype": (json.dumps({"a": entry(0, 1, dtype="Q4")}), b"a"),
    "half-byte dtype": (json.dumps({"a": entry(0, 1, [2], "F4")}), b"a"),
    "dtype number": (json.dumps({"a": entry(0, 1) | {"dtype": 3}}), b"a"),
    "dtype list": (json.dumps({"a": entry(0, 1) | {"dtype": ["U8"]}}), b"a"),
    "shape too large": (json.dumps({"a": entry(0, 4, [5])}), b"abcd"),
    "shape overflow": (json.dumps({"a": entry(0, 4, [2**62, 4])}), b"abcd"),
    "shape wraps to fit": (json.dumps({"a": entry(0, 0, [2**32, 2**32])}), b""),
    "shape of 2**64": (json.dumps({"a": entry(0, 0, [2**64])}), b""),
    "negative shape": (json.dumps({"a": entry(0, 4, [-2, -2])}), b"abcd"),
    "float shape": (json.dumps({"a": entry(0, 4, [4.0])}), b"abcd"),
    "bool shape": (json.dumps({"a": entry(0, 1, [True])}), b"a"),
    "shape text": (json.dumps({"a": entry(0, 1) | {"shape": "1"}}), b"a"),
    "too many dimensions": (json.dumps({"a": entry(0, 1, [1] * 99)}), b"a"),
    "three offsets": (json.dumps({"a": entry(0, 1) | {"data_offsets": [0, 1, 1]}}), b"a"),
    "bool offsets": (json.dumps({"a": entry(0, 1) | {"data_offsets": [False, True]}}), b"a"),
    "extra key": (json.dumps({"a": entry(0, 1) | {"more": 1}}), b"a"),
    "missing key": (json.dumps({"a": {"dtype": "U8", "shape": [1]}}), b"a"),
    "nested object": (json.dumps({"a": entry(0, 1) | {"shape": {}}}), b"a"),
    "tensor is a list": (json.dumps({"a": [1]}), b"a"),
    "duplicate tensor": (
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
        '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"a",
    ),
    "duplicate key": ('{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', b"a"),
    "duplicate metadata": ('{"__metadata__":{"a":"1","a":"2"}}', b""),
    "metadata twice": ('{"__metadata__":{},"__metadata__":{}}', b""),
    "metadata number": ('{"__metadata__":{"a":1}}', b""),
    "metadata list": ('{"__metadata__":[]}', b""),
    "metadata half pair": (r'{"__metadata__":{"a":"\ud800"}}', b""),
    "metadata bad escape": (r'{"__metadata__":{"a":"\x"}}', b""),
    "NaN offset": ('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,NaN]}}', b"a"),
    "huge integer": (
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,' + "9" * 1500 + "]}}",
        b"a",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_a_whole_file_is_refused(tmp_path, case):
    path = write_raw(tmp_path / "x.safetensors", *REFUSED[case])
    with pytest.raises(IntegrityError) as caught:
        read_header(path)
    assert caught.value.where is not None
    assert str(path) in caught.value.where


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a\0b",
        "a\x1b[2Jb",
        "../../etc/passwd",
        "a/b",
        "a b",
        "a\nb",
        "é",
        "\u202eabc",
        "a" * 257,
    ],
)
def test_names_that_are_not_plain_are_refused(tmp_path, name):
    path = write_raw(tmp_path / "x.safetensors", json.dumps({name: entry(0, 1)}), b"a")
    with pytest.raises(SecurityError) as caught:
        read_header(path)
    assert caught.value.message.isprintable()
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9])
def test_tiny_files_are_refused(tmp_path, size):
    path = tmp_path / "x"
    path.write_bytes(b"\2" + b"\0" * (size - 1) if size else b"")
    with pytest.raises(IntegrityError):
        read_header(path)


def test_what_is_no_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(SecurityError, match="regular file"):
            read_header(path)
    with pytest.raises(IntegrityError, match="missing"):
        read_header(tmp_path / "nothing")


def many_entries(count: int) -> bytes:
    parts = (f'"t{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for i in range(count))
    return b"{" + ",".join(parts).encode() + b"}"


HOSTILE: dict[str, Callable[[], tuple[bytes, int | None]]] = {
    "says 2**63": lambda: (b"{}", 2**63),
    "says 101 MB": lambda: (b"{" + b" " * 101_000_000, None),
    "99 MB of spaces": lambda: (b"{" + b" " * 99_000_000, None),
    "99 MB of nesting": lambda: (b'{"a":' + b"[" * 99_000_000, None),
    "99 MB of numbers": lambda: (b'{"a":[' + b"1," * 49_000_000, None),
    "a name of 99 MB": lambda: (b'{"' + b"a" * 99_000_000 + b'":1}', None),
    "a name of backslashes": lambda: (b'{"' + b"\\" * 99_000_000 + b'":1}', None),
    "quotes in metadata": lambda: (b'{"__metadata__":{' + b'"":"",' * 16_000_000 + b"}}", None),
    "unclosed metadata": lambda: (b'{"__metadata__":{"a":"' + b"\\a" * 45_000_000, None),
    "wide characters": lambda: (b'{"' + "\U0001f600".encode() * 24_000_000 + b'":1}', None),
    "a million tensors": lambda: (many_entries(1_000_000), None),
    "the most tensors": lambda: (many_entries(MAX_TENSORS), None),
}


# In a process of its own, since a coverage tracer would be measured too. The reference is what the
# machine needs now for 128 MiB of sha256: a tenth of a second where it is idle.
COST = """
import hashlib, sys, time
from pathlib import Path
from additive.errors import RefusedError
from additive.tensors.header import read_header
block, state, start = bytes(1 << 20), hashlib.sha256(), time.process_time()
for _ in range(128):
    state.update(block)
middle = time.process_time()
try:
    read_header(Path(sys.argv[1]))
except RefusedError:
    pass
print((time.process_time() - middle) / (middle - start))
"""


def cost_of_reading(path: Path) -> float:
    command = [sys.executable, "-c", COST, str(path)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_costs_neither_time_nor_memory(tmp_path, case):
    header, length = HOSTILE[case]()
    path = write_raw(tmp_path / "x.safetensors", header, length=length)
    allowed = len(header) + (64 << 20)
    del header
    assert cost_of_reading(path) < 20
    assert (read_or_refuse(path) is None) == (case != "the most tensors")
    if "tensors" not in case:  # tracing is slow, and memory for tensors is bounded by their number
        tracemalloc.start()
        read_or_refuse(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < allowed


def read_or_refuse(path: Path) -> dict[str, torch.Tensor] | None:
    try:
        checkpoint = open_file(path)
        if len(checkpoint.names()) > 1000:
            return {}
        return {name: checkpoint.tensor(name) for name in checkpoint.names()}
    except RefusedError:
        return None


def mutate(data: bytes, rng: random.Random) -> bytes:
    header_end = 8 + int.from_bytes(data[:8], "little")
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(6) if out else 3
        at = rng.randrange(min(len(out), rng.choice([header_end, len(data)])) or 1)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.randrange(256)
        elif kind == 2:
            del out[at : at + rng.randint(1, 8)]
        elif kind == 3:
            out[at:at] = out[max(0, at - 20) : at]
        elif kind == 4:
            out[at : at + 1] = rng.choice(
                [b"0", b"9", b"-", b'"', b"{", b"}", b"[", b",", b"1e9", b"\\u0061"]
            )
        else:
            del out[rng.randrange(len(out)) :]
    return bytes(out)


def test_two_thousand_mutations_are_refused_or_read_as_the_library_reads_them(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = {
        "a.b": torch.arange(6.0).reshape(2, 3),
        "c": torch.ones(4).bfloat16(),
        "d": torch.ones(()),
    }
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    good, rng, read = path.read_bytes(), random.Random(20261121), 0
    for _ in range(2000):
        path.write_bytes(mutate(good, rng))
        mine = read_or_refuse(path)
        if mine is not None:
            read += 1
            theirs = safetensors.torch.load_file(path)
            assert mine.keys() == theirs.keys()
            for name, tensor in mine.items():
                assert tensor.dtype == theirs[name].dtype
                assert torch.equal(
                    tensor.reshape(-1).view(torch.uint8), theirs[name].reshape(-1).view(torch.uint8)
                )
    assert 20 < read < 1000


@settings(max_examples=100, deadline=None)
@given(
    header=st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    data=st.binary(max_size=9),
)
def test_arbitrary_bytes_are_refused_or_read(tmp_path_factory, header, data):
    read_or_refuse(write_raw(tmp_path_factory.mktemp("h") / "x", header, data))
    path = tmp_path_factory.mktemp("h") / "y"
    path.write_bytes(header + data)
    read_or_refuse(path)
