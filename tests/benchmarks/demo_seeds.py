"""The demo over several seeds: does the default merge pass? `make demo-seeds` prints the table.

    python -m tests.benchmarks.demo_seeds --seeds 10 --out docs/demo-seeds.md

A seed changes the order of the rows and every A; data, suites and base stay. Each seed has a
workspace of its own below `--work`, so that an interrupted sweep continues.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from additive.types.progress import Progress
from additive.verbs.demo import Demo, run_demo
from tests.benchmarks.measure import fill
from tests.benchmarks.workspaces import demo_workspace


def row_of(seed: int, demo: Demo) -> list[str]:
    """A line of the table: per domain the plateau, per suite specialist → merged, the verdict."""
    plateaus = [t.artifact.manifest.saturation for t in demo.trained]
    steps = " ".join(
        f"{p['plateau_step']}{'' if p['outcome'] == 'saturated' else '*'}" for p in plateaus
    )
    scores = [_scores(suite) for suite in demo.document["suites"]]
    scale = demo.built.artifact.manifest.spec["scale"]
    return [str(seed), steps, f"{scale:g}", *scores, demo.document["verdict"]]


def _scores(suite: dict[str, Any]) -> str:
    reference = suite["specialist"] if suite["role"] == "target" else suite["base"]
    mark = "" if suite["verdict"] == "pass" else " ✗"
    return f"{reference:.3f}→{suite['merged']:.3f}{mark}"


def table(rows: list[list[str]], suites: list[str]) -> str:
    """The rows as Markdown."""
    head = ["seed", "plateaus", "scale", *suites, "verdict"]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run the seeds and print the table; exit code 1 when fewer than nine in ten pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path(".demo-seeds"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows: list[list[str]] = []
    suites: list[str] = []
    for seed in range(options.first, options.first + options.seeds):
        root = options.work / f"seed-{seed}"
        demo_workspace(root, lambda spec, seed=seed: spec["train"].update(seed=seed))
        _take_results(options.work / f"seed-{seed - 1}", root)
        demo = run_demo(root.absolute(), _say)
        suites = [suite["suite"] for suite in demo.document["suites"]]
        rows.append(row_of(seed, demo))
        print(table(rows[-1:], suites).splitlines()[-1], flush=True)
    passed = sum(row[-1] == "pass" for row in rows)
    text = (
        f"{table(rows, suites)}\n\n{passed} of {len(rows)} seeds pass; * ended at its budget."
        f" Threads: {torch.get_num_threads()}.\n"
    )
    print(text)
    if options.out:
        fill(options.out, "seeds", text.rstrip())
    return 0 if passed >= 0.9 * len(rows) else 1


def _take_results(before: Path, root: Path) -> None:
    known, here = (path / ".additive" / "cache" / "results" for path in (before, root))
    if known.exists():
        shutil.copytree(known, here, dirs_exist_ok=True)


def _say(progress: Progress) -> None:
    if progress.lasting:
        print(f"{progress.topic}: {progress.text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
