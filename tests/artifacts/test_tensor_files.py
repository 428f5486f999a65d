"""Files of tensors that many may write at once: whole, or not there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from safetensors.torch import load_file, save_file

from additive.artifacts.atomic import write_tensors


def test_tensors_are_written_beside_their_place_too(tmp_path):
    path, tensors = tmp_path / "deep" / "x.safetensors", {"a": torch.arange(6.0).reshape(2, 3)}
    write_tensors(path, tensors, {"seal": "s"})
    save_file(tensors, tmp_path / "theirs", {"seal": "s"})
    assert path.read_bytes() == (tmp_path / "theirs").read_bytes()
    for leftover in (".x.safetensors.4999999-1.tmp", "..x.safetensors.4999999-1.tmp.part"):
        (path.parent / leftover).write_text("half")
    write_tensors(path, tensors)
    assert [p.name for p in path.parent.iterdir()] == ["x.safetensors"]


def test_many_writers_of_the_same_tensors_leave_one_whole_file(tmp_path):
    path, tensors = tmp_path / "x.safetensors", {"a": torch.ones(1 << 18)}
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(write_tensors, path, tensors) for _ in range(32)]:
            done.result()
            assert load_file(path)["a"].sum() == 1 << 18
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
