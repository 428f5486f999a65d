"""What a merge costs beside the reading and writing that it cannot do without.

    python tests/benchmarks/merge.py [135m|640mb|1b]

T_io is the time to read every input once and to write the output once with fsync, measured in the
same run; ratios are wall / T_io. Memory is the rise of anonymous memory over what the imports
hold.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from additive.merge.engine import execute
from additive.merge.plan import plan
from tests.merge.making import recipe, source
from tests.merge.measuring import peak_while, write_random_lora, write_random_model

_BLOCK = 1 << 24
JOBS = (
    ("3 LoRAs, task_arithmetic", "lora", 3, "task_arithmetic", "checkpoint"),
    ("3 LoRAs, task_arithmetic, adapter out", "lora", 3, "task_arithmetic", "adapter"),
    ("16 LoRAs, task_arithmetic", "lora", 16, "task_arithmetic", "checkpoint"),
    ("3 LoRAs, tsv_m", "lora", 3, "tsv_m", "checkpoint"),
    ("3 LoRAs, ties", "lora", 3, "ties", "checkpoint"),
    ("3 fine-tunes, linear", "full", 3, "linear", "checkpoint"),
    ("3 fine-tunes, ties 0.2", "full", 3, "ties", "checkpoint"),
    ("3 fine-tunes, dare_ties", "full", 3, "dare_ties", "checkpoint"),
    ("3 fine-tunes, della", "full", 3, "della", "checkpoint"),
    ("3 fine-tunes, breadcrumbs", "full", 3, "breadcrumbs", "checkpoint"),
)


def main(shape: str) -> None:
    """Run all jobs of one shape and print a table."""
    root = Path(tempfile.mkdtemp(prefix="additive-bench-"))
    try:
        base = write_random_model(root / "base", shape, 0)
        loras = [write_random_lora(root / f"lora{i}", shape, 100 + i) for i in range(16)]
        tuned = [write_random_model(root / f"full{i}", shape, 200 + i) for i in range(3)]
        print(f"{shape}, {os.cpu_count()} cores")
        print(f"{'job':40} {'wall s':>7} {'T_io s':>7} {'ratio':>6} {'memory MB':>10}")
        for title, kind, count, method, output in JOBS:
            sources = (loras if kind == "lora" else tuned)[:count]
            _job(title, base, sources, method, output, root / "out")
    finally:
        shutil.rmtree(root)


def _job(title: str, base: Path, sources: list[Path], method: str, output: str, out: Path) -> None:
    made = recipe(*map(source, sources), method=method, output=output)
    out.mkdir()

    def work() -> None:
        nonlocal wall
        start = time.perf_counter()
        execute(plan(made, base), out)
        wall = time.perf_counter() - start

    wall = 0.0
    rise = peak_while(work)
    size = sum(path.stat().st_size for path in out.iterdir())
    read = [*sources] if output == "adapter" else [base, *sources]
    io = _io(read, size, out / "probe")
    shutil.rmtree(out)
    print(f"{title:40} {wall:7.2f} {io:7.2f} {wall / io:6.2f} {rise / 1e6:10.0f}", flush=True)


def _io(directories: list[Path], size: int, probe: Path) -> float:
    start = time.perf_counter()
    for directory in directories:
        for path in directory.glob("*.safetensors"):
            with path.open("rb", buffering=0) as file:
                while file.read(_BLOCK):
                    pass
    block = bytes(_BLOCK)
    with probe.open("wb", buffering=0) as file:
        for _ in range(-(-size // _BLOCK)):
            file.write(block)
        os.fsync(file.fileno())
    return time.perf_counter() - start


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "135m")
