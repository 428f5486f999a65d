"""`--help`, `lint`, `list`, `show`, `verify` and `gate` never import torch, nor what imports it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from additive.artifacts.store import Store
from additive.cli.main import VERBS
from tests.artifacts.making import freeze_one
from tests.house.source import ROOT

HEAVY = (
    "datasets",
    "huggingface_hub",
    "lm_eval",
    "matplotlib",
    "mergekit",
    "peft",
    "torch",
    "transformers",
    "trl",
)
# Runs command lines in one process and tells of each what is imported afterwards that is heavy.
_PROBE = """
import json, sys
from additive.cli.main import run
codes = []
for arguments in json.loads(sys.argv[1]):
    code = run(arguments)
    codes.append([arguments, code, [name for name in {heavy!r} if name in sys.modules]])
print()
print(json.dumps(codes))
"""


def _probe(directory: Path, *lines: list[str]) -> list[tuple[list[str], int, list[str]]]:
    code = _PROBE.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(lines)],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={"PYTHONPATH": str(ROOT), "HOME": str(directory), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return [tuple(entry) for entry in json.loads(done.stdout.splitlines()[-1])]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace with one frozen specialist, and two result files."""
    root = tmp_path_factory.mktemp("light")
    (root / "additive.yaml").write_text("version: 1\nbase: {model: tiny}\n")
    freeze_one(Store(root / ".additive" / "store"))
    for name, score in (("specialist", 1), ("merged", 0)):
        rows = [{"id": str(i), "score": 1 if i else score} for i in range(400)]
        (root / f"{name}.json").write_text(json.dumps(rows))
    return root


def test_help_is_light(tmp_path):
    lines = [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)]
    for arguments, code, heavy in _probe(tmp_path, *lines):
        assert code == 0, arguments
        assert not heavy, f"additive {' '.join(arguments)} imports {heavy}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["list", "methods"],
        ["show", "math"],
        ["verify"],
        ["verify", "math"],
        ["gate", "specialist.json", "merged.json", "--margin", "0.05"],
        ["lint"],
    ],
    ids=" ".join,
)
def test_looking_is_light(workspace, arguments):
    ((_, code, heavy),) = _probe(workspace, arguments)
    assert code == 0
    assert not heavy, f"additive {' '.join(arguments)} imports {heavy}"


def test_scaffolding_and_linting_it_is_light(tmp_path):
    ends = _probe(tmp_path, ["init", "made"], ["-C", "made", "lint"], ["-C", "made", "list"])
    assert [code for _, code, _ in ends] == [0, 0, 0]
    assert not ends[-1][2]


def test_mistakes_are_light(tmp_path):
    lines = [["mrege", "math"], ["list"], ["show"], ["gate", "a.json", "b.json"]]
    for arguments, code, heavy in _probe(tmp_path, *lines):
        assert code == 2, arguments
        assert not heavy


def test_a_heavy_import_would_be_seen(tmp_path):
    (tmp_path / "torch.py").write_text("# stands in for the real one, which takes seconds\n")
    code = _PROBE.format(heavy=HEAVY).replace("code = run(arguments)", "import torch; code = 0")
    done = subprocess.run(
        [sys.executable, "-c", code, '[["list"]]'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    assert json.loads(done.stdout.splitlines()[-1])[0][2] == ["torch"]
