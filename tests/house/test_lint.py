"""ruff and pyright have nothing to say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT


def _tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed: pip install 'additive-merge[test]'")
    return found


@pytest.mark.parametrize("arguments", [["check", "."], ["format", "--check", "."]])
def test_ruff_is_content(arguments):
    done = subprocess.run(
        [_tool("ruff"), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:]


def test_pyright_is_content():
    pyright = _tool("pyright")
    started = subprocess.run([pyright, "--version"], capture_output=True, text=True, check=False)
    if started.returncode != 0:
        pytest.skip(f"pyright cannot start here (it needs Node.js): {started.stderr[-300:]}")
    done = subprocess.run([pyright], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
