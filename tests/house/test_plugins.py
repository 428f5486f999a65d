"""The plug-in guide is true: its files, put on the path as a package, are found, tested, used."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

from tests.e2e.command import environment
from tests.house.source import ROOT

_FILE = re.compile(r"```\w+ file=(?P<name>\S+)\n(?P<text>.*?)```", re.S)
_PROGRAM = """
from pathlib import Path

import test_median
import torch

from additive.merge.recipe import build_method
from additive.merge.methods import METHODS
from tests.merge import files
from tests.merge.making import merge, recipe, source

test_median.test_median()
assert METHODS.origin("median") == "median-merge"
assert build_method("median", {"strength": 0.8}).strength == 0.8

base = files.write_base(Path("base"))
tuned = [files.write_fine_tune(Path(f"s{i}"), base, i) for i in (1, 2, 3)]
made = recipe(*map(source, tuned), method="median", parameters={"strength": 0.8})
assert made.resolved()["method"] == {"name": "median", "strength": 0.8}
merge(Path("out"), base, made)
start, merged, *sources = (files.read(path) for path in (base, Path("out"), *tuned))
for name, tensor in start.items():
    middle = torch.stack([one[name] - tensor for one in sources]).quantile(0.5, dim=0)
    torch.testing.assert_close(merged[name], tensor + 0.8 * middle)
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
