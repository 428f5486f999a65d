"""What makes deltas additive: recall, rate and rank against own score, forgetting and the merge.

    python -m tests.benchmarks.additivity --out docs/ablation.md        (or: make ablation)

The demo's three domains are trained with one setting changed at a time, each for the same number of
steps, and merged at the scale that validation chooses. Everything is read on validation rows and on
fresh rows of the base's own skills (teacher-forced whole answers); no held-out suite is touched.
Each line has a workspace of its own below `--work`, so that an interrupted sweep continues.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from additive.models.loading import load_specialist, load_tokenizer
from additive.models.score import teacher_forced
from additive.types.progress import Progress
from additive.verbs.init import DEMO_DOMAINS
from additive.verbs.merge import build_merge
from additive.verbs.merge_request import request_merge
from additive.verbs.train import train_domain
from additive.verbs.trained import TrainedDomain
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace
from tests.benchmarks.measure import fill
from tests.benchmarks.workspaces import demo_workspace
from tools.tinybase.mixture import recall_items

DEFAULT = {"recall": 0.3, "learning_rate": 1e-3, "rank": 8}
CHANGES: tuple[Mapping[str, float], ...] = (
    {},
    {"recall": 0.0},
    {"recall": 0.15},
    {"recall": 0.5},
    {"learning_rate": 5e-4},
    {"learning_rate": 2e-3},
    {"rank": 4},
    {"rank": 16},
)
BUDGET = {"eval_steps": 40, "max_steps": 160, "decay_steps": 20}
FRESH_SEED, FRESH_ROWS = 91, 400
HEAD = (
    "recall",
    "learning_rate",
    "rank",
    "own score",
    "base's skills",
    "worst merged - own",
    "scale",
)


def setting_workspace(root: Path, setting: Mapping[str, float]) -> Workspace:
    """The demo's workspace with every domain at this setting and the same budget of steps."""

    def change(spec: dict[str, Any]) -> None:
        spec["adapt"]["rank"] = setting["rank"]
        spec["train"]["learning_rate"] = setting["learning_rate"]
        spec["recall"]["share"] = setting["recall"]
        spec["saturation"] = dict(BUDGET)

    demo_workspace(root, change)
    return Workspace(root)


def skills(workspace: Workspace, directory: Path | None = None) -> float:
    """The share of fresh rows of the base's own skills that a specialist, or the base, holds."""
    base = workspace.base_directory()
    rows = recall_items(FRESH_SEED, FRESH_ROWS)
    right, _ = teacher_forced(
        load_specialist(base, directory or base),
        load_tokenizer(base),
        [str(row["prompt"]) for row in rows],
        [str(row["completion"]) for row in rows],
    )
    return sum(right) / len(right)


def line(workspace: Workspace, setting: Mapping[str, float]) -> tuple[str, ...]:
    """Train, merge, and the line of the table."""
    trained = [train_domain(workspace, name, _say) for name in DEMO_DOMAINS]
    options = {"method": "task_arithmetic"}
    request = request_merge(workspace, DEMO_DOMAINS, options, base_identity(workspace))
    tried = build_merge(workspace, request, _say).artifact.manifest.times["scales"]
    best = next(trial for trial in tried["trials"] if trial["scale"] == tried["scale"])
    kept = [skills(workspace, found.artifact.path) for found in trained]
    return (
        f"{setting['recall']:g}",
        f"{setting['rate']:g}",
        f"{setting['rank']:g}",
        " / ".join(f"{_own(found):.3f}" for found in trained),
        " / ".join(f"{share:.3f}" for share in kept),
        f"{best['worst']:+.3f}",
        f"{best['scale']:g}",
    )


def _own(found: TrainedDomain) -> float:
    manifest: Any = found.artifact.manifest
    return manifest.saturation["score"]


def main() -> int:
    """Run the settings and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".ablation"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    lines = [HEAD, ("---",) * len(HEAD)]
    base = 0.0
    for change in CHANGES:
        setting = {**DEFAULT, **change}
        root = (options.work / "-".join(f"{k}{v:g}" for k, v in setting.items())).absolute()
        workspace = setting_workspace(root, setting)
        base = base or skills(workspace)
        lines.append(line(workspace, setting))
        print(_markdown(lines[-1:]), flush=True)
    text = (
        f"{_markdown(lines)}\n\nPer domain: {' / '.join(DEMO_DOMAINS)};"
        f" {BUDGET['max_steps']} steps, one seed. The base holds {base:.3f} of its own skills"
        f" (n = {FRESH_ROWS}).\n"
    )
    print(text)
    if options.out:
        fill(options.out, "ablation", text.rstrip())
    return 0


def _markdown(lines: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _say(progress: Progress) -> None:
    if progress.lasting:
        print(f"{progress.topic}: {progress.text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
