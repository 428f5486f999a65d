"""On CUDA: bfloat16 by default, and a run that can be stopped and taken up."""

from __future__ import annotations

import pytest
import torch

from additive.models.loading import load_specialist
from additive.train.run import train
from tests.train.making import job, listener, score

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("options", [{}, {"adapt": {"kind": "full"}}])
def test_cuda_trains_in_bfloat16(base, tmp_path, options):
    said, listen = listener()
    made = job(base, tmp_path, **options, train={"dtype": "auto", "learning_rate": 0.003})
    result = train(made, score(base), listen)
    assert "bfloat16" in said[0]
    assert result.curve[-1].loss < result.curve[0].loss - 0.5
    evaluated = score(base)(load_specialist(base, result.directory), 0)
    assert evaluated.loss == pytest.approx(result.curve[-1].loss, abs=0.1)


def test_the_cpu_can_be_chosen(base, tmp_path):
    said, listen = listener()
    train(job(base, tmp_path, train={"device": "cpu"}), score(base), listen)
    assert "float32" in said[0]


def test_a_curve_on_cuda_is_close_to_the_cpus(base, tmp_path):
    fast = train(job(base, tmp_path, train={"device": "cuda", "dtype": "float32"}), score(base))
    slow = train(job(base, tmp_path, train={"device": "cpu"}), score(base))
    ours, theirs = ([point.loss for point in result.curve] for result in (fast, slow))
    assert ours == pytest.approx(theirs, abs=0.02)
