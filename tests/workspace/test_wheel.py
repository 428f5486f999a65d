"""The wheel alone, outside the repository, carries all that the demo needs."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.source import ROOT

SHIPPED = ("domains", "evals", "merges")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The directory that the wheel is unpacked into, as an installer does it."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: no wheel is built")
    built, site = (tmp_path_factory.mktemp(name) for name in ("dist", "site"))
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", built]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def additive(site: Path, here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the unpacked package in a directory that knows nothing of the repository."""
    return subprocess.run(
        [sys.executable, "-m", "additive", *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_has_the_base_the_schemas_and_the_demo(installed):
    data = installed / "additive" / "data"
    for part in ("tiny", "schemas", "scaffold"):
        shipped = {path.name for path in (ROOT / "additive" / "data" / part).iterdir()}
        assert {path.name for path in (data / part).iterdir()} == shipped
    for name in SHIPPED:
        for path in (ROOT / name).rglob("*"):
            if path.suffix in (".yaml", ".jsonl", ".md"):
                assert (data / "demo" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    assert (data / "demo" / "additive.yaml").is_file()


def test_it_has_code_and_pages_and_nothing_that_is_only_for_its_makers(installed):
    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "additive").rglob("*.py")}
    assert code <= files
    assert {"additive/report/page.html", "additive/report/page.css"} <= files
    assert not [
        name for name in files if name.endswith(".pyc") or name.startswith(("tests", "tools"))
    ]


def test_the_command_is_an_entry_point(installed):
    (path,) = installed.glob("*.dist-info/entry_points.txt")
    points = configparser.ConfigParser()
    points.read(path)
    assert points["console_scripts"]["additive"] == "additive.cli.main:main"


def test_a_workspace_is_made_and_read_outside_the_repository(installed, tmp_path):
    helped = additive(installed, tmp_path, "demo", "--help")
    assert helped.returncode == 0
    assert "--break" in helped.stdout
    made = additive(installed, tmp_path, "init", "x", "--base", "tiny")
    assert made.returncode == 0, made.stderr
    for name in SHIPPED:
        for path in (ROOT / name).rglob("*.jsonl"):
            assert (tmp_path / "x" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    assert (tmp_path / "x" / "merges" / "everything.yaml").is_file()
    linted = additive(installed, tmp_path / "x", "lint")
    assert linted.returncode == 0, linted.stderr + linted.stdout
    judged = additive(installed, tmp_path / "x", "doctor")
    assert f"tiny at {installed}" in judged.stdout
