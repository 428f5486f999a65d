"""Anonymous memory does not grow with the model. Each case runs in a process of its own.

`make test` merges into 640 MB; the bases of 2 GB are soak tests, since each writes more than 4 GB.
Three LoRAs by task_arithmetic into 2.2 GB: 38 MB over the imports (docs/LOG.md).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.merge.making import recipe, source
from tests.merge.measuring import peak_while, write_random_lora, write_random_model

ALLOWED = 400e6


def _merge(root: Path, shape: str, method: str, kind: str) -> int:
    """Plan and execute a merge of three sources; the rise of anonymous memory in bytes."""
    from additive.merge.engine import execute
    from additive.merge.plan import plan

    base = write_random_model(root / "base", shape, 0, size=0.0)
    make = write_random_lora if kind == "lora" else write_random_model
    sources = [source(make(root / f"s{i}", shape, i + 1)) for i in range(3)]
    (root / "out").mkdir()
    return peak_while(lambda: execute(plan(recipe(*sources, method=method), base), root / "out"))


def _measured(tmp_path: Path, *arguments: str) -> int:
    command = [sys.executable, "-m", "tests.merge.test_memory", str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


def test_three_loras_into_a_model_that_is_larger_than_the_allowance(tmp_path):
    rise = _measured(tmp_path, "640mb", "task_arithmetic", "lora")
    size = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert size > 1.5 * ALLOWED
    assert rise <= ALLOWED, f"{rise / 1e6:.0f} MB"


@pytest.mark.soak
@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare_ties", "tsv_m"])
@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_base_of_2_gb(tmp_path, method, kind):
    if kind == "full" and method == "tsv_m":
        pytest.skip("dense SVDs hold whole parameters in float64")
    rise = _measured(tmp_path, "1b", method, kind)
    assert (tmp_path / "out" / "model.safetensors").stat().st_size > 2e9
    assert rise <= ALLOWED, f"{rise / 1e6:.0f} MB"


if __name__ == "__main__":
    print(_merge(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]))
