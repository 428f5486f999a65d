"""The plug-in guide is true: its files, put on the path as a package, are found and tested."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

from tests.e2e.command import environment
from tests.house.source import ROOT

_FILE = re.compile(r"```\w+ file=(?P<name>\S+)\n(?P<text>.*?)```", re.S)
_PROGRAM = """
import test_median
from additive.merge.building import build_method
from additive.merge.methods import METHODS

test_median.test_median()
assert METHODS.origin("median") == "median-merge"
assert build_method("median", {"strength": 0.8}).strength == 0.8
print("found")
"""


def test_the_plug_in_guide(tmp_path):
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    files = {match["name"]: match["text"] for match in _FILE.finditer(page)}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    points = project["entry-points"]["additive.merge_methods"]
    lines = ["[additive.merge_methods]", *(f"{name} = {place}" for name, place in points.items())]
    installed = tmp_path / "median_merge-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Name: {project['name']}\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("\n".join(lines) + "\n")
    known = environment()
    path = f"{tmp_path}:{known.get('PYTHONPATH', ROOT)}"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**known, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "found\n"
