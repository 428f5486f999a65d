"""The tutorial's "by hand" commands run, with small budgets; the demo does the same job.

The tests of this file run in order and share one workspace.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from additive.cli.demo import conclusion
from tests.e2e.command import run, run_importing
from tests.house.documents import blocks, execute
from tests.house.source import ROOT

MERGE = "math+code+safety"
SHRINK = [sys.executable, str(ROOT / "tests" / "tutorial" / "shrink.py"), "."]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("newcomer")


def by_hand() -> str:
    """The tutorial's block, made small once the workspace is there; a gate may say no."""
    (text,) = (
        block.text
        for block in blocks(ROOT / "docs" / "tutorial.md")
        if block.text.startswith("additive init my-skills") and "additive ask" in block.text
    )
    first, *rest = (line.partition("  #")[0] for line in text.splitlines())
    judging = ("additive merge", "additive check")
    rest = [f"{line} || test $? -eq 1" if line.startswith(judging) else line for line in rest]
    return "\n".join(["set -euo pipefail", first, shlex.join(SHRINK), *rest])


def test_every_command_by_hand_runs(home):
    done = execute(f"export PYTHONPATH={shlex.quote(str(ROOT))}\n{by_hand()}", home, 600)
    assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-2000:]}"
    judged = done.stdout.count(f"\n{MERGE}: CANNOT TELL")
    assert judged == 2, "eight items settle nothing, which merge and check both say"
    assert "\n\n\n" not in done.stdout
    assert f"\n{MERGE}@" in done.stdout.split("\nmodel ")[-1], "the answers side by side"
    assert (home / "my-skills" / "reports" / f"{MERGE}.html").is_file()


def test_the_demo_is_the_same_job_and_finds_it_done(home):
    (home / "my-skills").rename(home / "additive-demo")
    moved = run(home, "demo", "--json")  # writes its pages again, with the paths that are true now
    assert moved.json["merge"]["reused"] is True
    again = run_importing(home, "demo", "--json")
    assert again.done.code == 1, again.done.err
    found = again.done.json
    assert [domain["reused"] for domain in found["domains"]] == [True] * 3
    assert found["merge"]["name"] == MERGE
    assert found["merge"]["reused"] is True
    assert len(found["check"]["suites"]) == 9
    assert "torch" not in again.imported


def test_the_broken_demo_merges_the_same_specialists(home):
    broken = run(home, "demo", "--break")
    assert broken.code == 1, broken.err
    assert broken.out.count("was there already") == 3
    assert "\nbroken@" in broken.out
    assert "peft_linear" in broken.out
    assert broken.out.rstrip().endswith("refuses the merge.")
    again = run_importing(home, "demo", "--break", "--json")
    assert again.done.json["merge"]["reused"] is True
    assert "torch" not in again.imported


def test_a_directory_that_is_no_workspace_is_left_alone(tmp_path):
    (tmp_path / "additive-demo").mkdir()
    (tmp_path / "additive-demo" / "mine.txt").write_text("x")
    refused = run(tmp_path, "demo")
    assert refused.code == 2, refused.err
    assert "help: move it away" in refused.err
    assert [path.name for path in (tmp_path / "additive-demo").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("merged", "verdict", "said"),
    [
        (0.88, "fail", "would have released this merge"),
        (0.80, "fail", "The average shows this loss too"),
        (0.91, "pass", "(+0.010).\nNo suite regressed"),
    ],
)
def test_the_demo_claims_only_what_happened(merged, verdict, said):
    assert said in conclusion({"specialist": 0.9, "merged": merged}, verdict)
