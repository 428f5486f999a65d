"""`additive gate` starts fast: neither torch nor scipy before a t quantile is needed."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import additive.gate
from additive.types.results import PairedItem
additive.gate.compare([PairedItem(str(i), 1.0, float(i > 3)) for i in range(200)])
loaded = [name for name in ("torch", "scipy", "numpy", "transformers") if name in sys.modules]
assert not loaded, loaded
additive.gate.compare([PairedItem(str(i), 0.5, 0.5 + i / 1e4) for i in range(200)])
assert "torch" not in sys.modules
"""


def test_the_gate_is_light():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
