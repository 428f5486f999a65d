"""What idle threads that spin cost `additive train`, alone and beside one busy process.

    python -m tests.benchmarks.threads

Trains 60 steps of the demo's math domain with OMP_WAIT_POLICY=ACTIVE (what libgomp does unless told
otherwise), with PASSIVE (what additive sets), and with one thread. Each time is the shortest of
three runs of the whole command, imports included. The busy process is a loop in Python: it keeps
one core occupied and uses no memory bandwidth. The gain depends on how many cores the machine has
and what else runs on it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

RUNS = 3
STEPS = 60
POLICIES = {
    "spinning": {"OMP_WAIT_POLICY": "ACTIVE"},
    "sleeping": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def main() -> None:
    """Measure and print a table of seconds, and the ratios of spinning to sleeping."""
    times: dict[tuple[str, bool], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(RUNS):
            for beside in (False, True):
                for policy, variables in POLICIES.items():
                    root = Path(folder) / f"{run}-{policy.replace(' ', '-')}-{beside}"
                    _prepare(root)
                    with _busy_process(beside):
                        seconds = _train(root, variables)
                    key = policy, beside
                    times[key] = min(seconds, times.get(key, seconds))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end; {STEPS} steps\n")
    print("| threads that wait | alone, s | beside one busy process, s |\n| --- | --- | --- |")
    for policy in POLICIES:
        print(f"| {policy} | {times[policy, False]:.1f} | {times[policy, True]:.1f} |")
    alone, beside_busy = (
        times["spinning", busy] / times["sleeping", busy] for busy in (False, True)
    )
    print(f"\nspinning / sleeping: {alone:.2f} alone, {beside_busy:.2f} beside one busy process")


def _prepare(root: Path) -> None:
    """A fresh workspace whose math domain ends after STEPS steps, with one evaluation."""
    _additive({}, "init", str(root), "--base", "tiny")
    path = root / "domains" / "math" / "domain.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["saturation"] |= {"eval_steps": STEPS, "max_steps": STEPS, "decay_steps": 1}
    path.write_text(yaml.safe_dump(spec))


def _train(root: Path, variables: dict[str, str]) -> float:
    start = time.perf_counter()
    _additive(variables, "-C", str(root), "train", "math")
    return time.perf_counter() - start


def _additive(variables: dict[str, str], *arguments: str) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    command = [sys.executable, "-m", "additive", *arguments]
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=inherited | variables,
    )


@contextmanager
def _busy_process(wanted: bool) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if wanted else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
