"""What a diagnosis costs per parameter, and so for a model of 1.1 B: prints CPU seconds.

    python tests/benchmarks/diagnose.py            # 16 adapters of rank 16

Shapes are those of the seven linear layers of TinyLlama-1.1B; one of each is measured on random
factors and counted as often as the model has it (22 layers). CPU time, not wall: other work on the
machine does not change it much.
"""

from __future__ import annotations

import time

import torch

from additive.deltas.model import LowRank
from additive.merge.measures import conflicts, spectra

SOURCES, RANK, LAYERS = 16, 16, 22
SHAPES = {
    "q, o": ((2048, 2048), 2),
    "k, v": ((256, 2048), 2),
    "gate, up": ((5632, 2048), 2),
    "down": ((2048, 5632), 1),
}


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    total = [0.0, 0.0]
    print(f"{SOURCES} adapters of rank {RANK}, CPU seconds on one thread")
    print(f"{'layer':10} {'shape':>12} {'QR':>7} {'rest':>7}")
    for name, (shape, count) in SHAPES.items():
        prepare, rest = _cost(shape)
        total = [total[0] + count * LAYERS * prepare, total[1] + count * LAYERS * rest]
        print(f"{name:10} {shape[0]:>6}x{shape[1]:<5} {prepare:7.3f} {rest:7.3f}")
    print(f"the model: QR (what `prepare` caches) {total[0]:.0f} s, the rest {total[1]:.0f} s")


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
    found.piled()
    signs = max(1, (1 << 16) // columns)
    conflicts([delta.rows(0, min(signs, rows)).dense() for delta in deltas])
    return prepare, time.process_time() - start - prepare


if __name__ == "__main__":
    main()
