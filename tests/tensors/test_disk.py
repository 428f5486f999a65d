"""Disks that are full, slow to take bytes, or forbidden; JSON from strangers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from additive.errors import IntegrityError, ResourceError, SecurityError
from additive.tensors.disk import disk_errors
from additive.tensors.json import MAX_DEPTH, parse_json, read_json, read_object
from additive.tensors.reader import non_finite, open_file
from additive.tensors.writer import LayoutWriter, write_file

LIMITED = """
import resource, sys
from pathlib import Path
from additive.errors import ResourceError
from additive.tensors.writer import LayoutWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    LayoutWriter(Path(sys.argv[1]), [("w", "U8", (50_000,))])
except ResourceError as error:
    print(error.exit_code, error.help)
"""


def test_space_is_taken_before_the_work(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "x")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("4 ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["pwrite", "fsync", "posix_fallocate", "open"])
def test_a_full_disk_while_writing_leaves_no_file(tmp_path, monkeypatch, call):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    def write() -> None:
        with LayoutWriter(tmp_path / "x", [("w", "U8", (4,))]) as writer:
            monkeypatch.setattr(os, call, full)
            writer.write("w", 0, b"abcd")

    with monkeypatch.context() as patch:
        if call in ("posix_fallocate", "open"):
            patch.setattr(os, call, full)
        with pytest.raises(ResourceError, match="no space left"):
            write()
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_file_systems_that_cannot_reserve_are_written_all_the_same(tmp_path, monkeypatch):
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    write_file(tmp_path / "x", {"w": torch.ones(3)})
    assert torch.equal(open_file(tmp_path / "x").tensor("w"), torch.ones(3))


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        (tmp_path / "nothing").read_bytes()


SPECIAL = (float("nan"), float("inf"), float("-inf"))


@pytest.mark.parametrize("value", SPECIAL)
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]
)
def test_nan_and_infinity_are_found_wherever_they_are(tmp_path, dtype, value):
    edges = [0.0, -0.0, 1.0, torch.finfo(dtype).max, torch.finfo(dtype).tiny]
    good = torch.tensor(edges, dtype=dtype)
    bad = torch.ones(5_000_000 if dtype == torch.bfloat16 else 10, dtype=dtype)
    bad[-1] = value
    write_file(tmp_path / "x", {"good": good, "bad": bad, "ids": torch.tensor([-1, 2**40])})
    assert non_finite(open_file(tmp_path / "x")) == ("bad",)


def test_nan_is_found_in_eight_bits(tmp_path):
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        every = torch.arange(256, dtype=torch.uint8).view(dtype)
        finite = every[torch.isfinite(every.float())].contiguous()
        write_file(tmp_path / "x", {"finite": finite})
        assert non_finite(open_file(tmp_path / "x")) == ()
        for value in every[~torch.isfinite(every.float())]:
            write_file(tmp_path / "x", {"bad": value.reshape(1)})
            assert non_finite(open_file(tmp_path / "x")) == ("bad",)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"x": {"a": 1, "a": 2}}',
        "[NaN]",
        "[Infinity]",
        "[1e999]",
        "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2),
        "[" * 100_000,
        r'["\ud800"]',
        "[1,]",
        "",
        "[" + "1" * 5000 + "]",
        b"\xff",
        '["a"]'.encode("utf-16"),
        b'\xef\xbb\xbf["a"]',
    ],
)
def test_json_that_is_not_strict_is_refused(text):
    with pytest.raises(IntegrityError, match=r"^x\.json: "):
        parse_json(text, "x.json")


def test_strict_json_is_read(tmp_path):
    text = r'{"a": [1, -2.5e3, true, null, "\ud83d\ude00 é"]}'
    assert parse_json(text, "x") == {"a": [1, -2500.0, True, None, "😀 é"]}
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH, "x")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(IntegrityError, match="object"):
        read_object(tmp_path / "x.json")
    with pytest.raises(IntegrityError, match="at most 1"):
        read_json(tmp_path / "x.json", limit=1)
    with pytest.raises(SecurityError):
        read_json(tmp_path)
