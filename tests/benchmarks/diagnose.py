"""What a diagnosis costs per parameter, and so for a model of 1.1 B: prints CPU seconds.

    python -m tests.benchmarks.diagnose --out docs/diagnose.md            # 16 adapters of rank 16

Shapes are those of the seven linear layers of TinyLlama-1.1B; one of each is measured on random
factors and counted as often as the model has it (22 layers). CPU time, not wall: other work on the
machine does not change it much.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from additive.deltas.model import LowRank
from additive.merge.measures import conflicts, spectra
from tests.benchmarks.measure import fill, hardware, table

SOURCES, RANK, LAYERS = 16, 16, 22
SHAPES = {
    "q, o": ((2048, 2048), 2),
    "k, v": ((256, 2048), 2),
    "gate, up": ((5632, 2048), 2),
    "down": ((2048, 5632), 1),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    total, lines = [0.0, 0.0], []
    for name, (shape, count) in SHAPES.items():
        prepare, rest = _cost(shape)
        total = [total[0] + count * LAYERS * prepare, total[1] + count * LAYERS * rest]
        size = f"{shape[0]} × {shape[1]}"
        lines.append([name, size, str(count * LAYERS), f"{prepare:.3f}", f"{rest:.3f}"])
    lines.append(["the model", "", "", f"**{total[0]:.1f}**", f"**{total[1]:.1f}**"])
    text = (
        f"{table(['layer', 'shape', 'times', 'QR', 'the rest'], lines)}\n\nCPU seconds on one"
        f" thread, {SOURCES} adapters of rank {RANK}; QR is what `prepare` keeps. {hardware()}."
    )
    print(text)
    if out:
        fill(out, "diagnose", text)


def _cost(shape: tuple[int, int]) -> tuple[float, float]:
    """Seconds of the two QR factorisations, and of everything else, for one parameter."""
    torch.manual_seed(0)
    rows, columns = shape
    deltas = [LowRank(torch.randn(rows, RANK), torch.randn(RANK, columns)) for _ in range(SOURCES)]
    start = time.process_time()
    torch.linalg.qr(torch.cat([delta.B.double() for delta in deltas], dim=1))
    torch.linalg.qr(torch.cat([delta.A.double() for delta in deltas], dim=0).T)
    prepare = time.process_time() - start
    start = time.process_time()
    found = spectra(deltas)
    found.inner()
    found.overlap(found.left)
    found.overlap(found.right)
    found.interference()
    found.interferences()
    found.unrelated(shape)
    found.piled()
    signs = max(1, (1 << 16) // columns)
    conflicts([delta.rows(0, min(signs, rows)).dense() for delta in deltas])
    return prepare, time.process_time() - start - prepare


if __name__ == "__main__":
    main()
