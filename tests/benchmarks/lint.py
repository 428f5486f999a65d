"""What `additive lint` costs on the demo's workspace, without caches and with: prints CPU seconds.

    python tests/benchmarks/lint.py

Each time is the least of five processes, imports and all. CPU time, not wall: other work on the
machine does not change it much.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TIMES = 5


def main() -> None:
    """Lint a fresh workspace, forgetting or keeping what was found before, and print the times."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "demo"
        _additive("init", str(root), "--base", "tiny")
        cold = min(_lint(root, forget=True) for _ in range(TIMES))
        warm = min(_lint(root, forget=False) for _ in range(TIMES))
    print(f"additive lint: {cold:.2f} s without caches, {warm:.2f} s with (CPU, best of {TIMES})")


def _lint(root: Path, forget: bool) -> float:
    if forget:
        shutil.rmtree(root / ".additive" / "cache", ignore_errors=True)
    return _additive("-C", str(root), "lint")


def _additive(*arguments: str) -> float:
    """The CPU seconds of a command line."""
    before = os.times()
    command = [sys.executable, "-m", "additive", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


if __name__ == "__main__":
    main()
