"""Two processes give one process's curve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from additive.errors import CompatibilityError
from additive.train.run import _micro_batches, train
from tests.train.making import job, score

ROOT = Path(__file__).resolve().parents[2]


def test_two_processes_give_one_processs_curve(base, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command += ["-m", "tests.train.distributed_run", str(base), str(tmp_path / "two")]
    (tmp_path / "two").mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    one = train(job(base, tmp_path / "one", saturation={"eval_steps": 1}), score(base))
    two = json.loads((tmp_path / "two" / "curve.json").read_text())
    assert len(two) == 17
    assert two == pytest.approx([point.loss for point in one.curve], abs=1e-4)


def test_more_processes_than_rows_are_refused(base, tmp_path):
    made = job(base, tmp_path)
    assert [_micro_batches(made, world, 30) for world in (1, 2, 8)] == [1, 1, 1]
    with pytest.raises(CompatibilityError, match="at least 9"):
        _micro_batches(made, 9, 30)
