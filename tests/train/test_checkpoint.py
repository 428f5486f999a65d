"""A checkpoint is whole or it is not there; a curve ends where its journal is damaged."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from additive.errors import ResourceError
from additive.train import checkpoint, result
from additive.train.saturation import Evaluation

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(4)}
STATE = {"step:a.weight": torch.tensor(3.0), "loss_sum": torch.zeros((), dtype=torch.float64)}


def write(root, *steps):
    for step in steps:
        checkpoint.write(root, step, {n: t + step for n, t in WEIGHTS.items()}, STATE)


def steps(root):
    return [found.step for found in checkpoint.resumable(root)]


def test_what_was_written_is_read(tmp_path):
    write(tmp_path, 5, 10)
    newest = next(checkpoint.resumable(tmp_path))
    assert newest.step == 10
    assert all(torch.equal(newest.weights()[n], t + 10) for n, t in WEIGHTS.items())
    assert newest.optimizer()["loss_sum"].dtype == torch.float64
    assert checkpoint.at(tmp_path, 5).step == 5
    assert checkpoint.at(tmp_path, 7) is None
    assert steps(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", [checkpoint.WEIGHTS, checkpoint.OPTIMIZER, checkpoint.COMPLETE])
@pytest.mark.parametrize("harm", ["gone", "torn", "flipped", "empty"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, name, harm):
    write(tmp_path, 5, 10)
    path = tmp_path / "step-00000010" / name
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "empty":
        path.write_bytes(b"")
    else:
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    assert steps(tmp_path) == [5]


def test_a_draft_is_no_checkpoint_and_is_cleared_away(tmp_path):
    write(tmp_path, 5)
    (tmp_path / ".step-00000010.123").mkdir()
    assert steps(tmp_path) == [5]
    checkpoint.prune(tmp_path, None)
    assert not list(tmp_path.glob(".step-*"))


def test_writing_again_replaces(tmp_path):
    write(tmp_path, 5)
    checkpoint.write(tmp_path, 5, {"a.weight": torch.zeros(1)}, STATE)
    assert checkpoint.at(tmp_path, 5).weights()["a.weight"].tolist() == [0.0]


def test_old_checkpoints_keep_their_weights_alone(tmp_path):
    write(tmp_path, 5, 10, 15, 20)
    checkpoint.prune(tmp_path, None)
    assert steps(tmp_path) == [20, 15]
    assert checkpoint.at(tmp_path, 5) is not None


def test_where_weights_are_large_only_those_in_use_stay(tmp_path):
    write(tmp_path, 5, 10, 15, 20)
    checkpoint.prune(tmp_path, {5})
    assert [step for step in (5, 10, 15, 20) if checkpoint.at(tmp_path, step)] == [5, 15, 20]


def test_a_full_disk_is_said_and_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    write(tmp_path, 5)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="No space left") as raised:
        write(tmp_path, 10)
    assert "the same command again" in raised.value.help
    monkeypatch.undo()
    assert steps(tmp_path) == [5]
    assert not list(tmp_path.glob(".step-*"))


def evaluation(step):
    return Evaluation(step, (1.0, 0.0), (0.1 + step, 1 / 3), 0.25, {"code": 0.5})


def test_a_journal_gives_back_the_curve_exactly(tmp_path):
    path = tmp_path / "curve.jsonl"
    curve = [evaluation(step) for step in (0, 5, 10)]
    for entry in curve:
        result.append(path, entry)
    assert result.read_curve(path) == curve
    result.rewrite(path, curve[:2])
    assert result.read_curve(path) == curve[:2]
    assert result.read_curve(tmp_path / "none") == []


def test_a_damaged_line_ends_the_curve(tmp_path):
    path = tmp_path / "curve.jsonl"
    for step in (0, 5, 10):
        result.append(path, evaluation(step))
    lines = path.read_bytes().splitlines(keepends=True)
    for harm in (lines[1][:20], lines[1].replace(b"0.25", b"0.26"), b"\xff\n", b"[]\n"):
        path.write_bytes(lines[0] + harm)
        assert [e.step for e in result.read_curve(path)] == [0]
    path.write_bytes(b"".join(lines) + lines[1])
    assert [e.step for e in result.read_curve(path)] == [0, 5, 10]
