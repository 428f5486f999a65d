"""Started by torchrun: trains one job and lets the main process write its curve."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from additive.train.run import train
from tests.train.making import job, score


def main(base, root):
    torch.set_num_threads(1)
    made = job(Path(base), Path(root), saturation={"eval_steps": 1})
    result = train(made, score(Path(base)))
    (Path(root) / "curve.json").write_text(json.dumps([point.loss for point in result.curve]))


if __name__ == "__main__":
    main(*sys.argv[1:])
