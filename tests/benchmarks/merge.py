"""What a merge costs beside the reading and writing that it cannot do without.

    python -m tests.benchmarks.merge --shape 135m --mergekit --out docs/performance.md

T_io is the time to read every input once and to write the output once with fsync, measured before
and after each job. Memory is the rise of anonymous memory over what the imports hold. With
--mergekit its jobs run beside ours, on the same inputs; that takes most of the time. Where a job
misses its bar, or with --profile, it runs once more with its stages timed.

Every measured row is kept in --work until the whole run is done, so that an interrupted run goes on
and jobs can be run one by one (--only). Remove that folder to measure anew.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import measure, runs
from tests.benchmarks.bars import COUNTS, GROWN, JOBS, Job, count_job
from tests.benchmarks.performance import write_page
from tests.benchmarks.shapes import Inputs, kept, known


def main() -> None:
    """Run what is asked for, print it, and write the page."""
    given = _arguments()
    machine = kept(given.work, "machine", _machine)
    print(machine["said"], flush=True)
    shapes = given.shape or ["135m"]
    for shape in [*shapes, *(_between(shapes, given.work) if given.growth else ())]:
        inputs = Inputs(shape, given.work.absolute() / shape)
        jobs = _jobs(shape in shapes, given)
        _ours(inputs, machine, jobs, given)
        if shape in shapes:
            if given.only in "candidates":
                _row(inputs, given, "candidates", lambda i=inputs: runs.candidates(i))
            _theirs(inputs, jobs, given)
        if not given.only:
            shutil.rmtree(inputs.root, ignore_errors=True)
    if not given.only and not given.keep:
        shutil.rmtree(given.work)


def _between(shapes: Sequence[str], work: Path) -> list[str]:
    """The other shapes of the plots, as far as the disk has room for a base and two outputs."""
    work.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(work).free / 1e9
    needed = {s: 6e-9 * Inputs(s, work).parameters for s in GROWN if s not in shapes}
    for shape in (shape for shape, size in needed.items() if size > free):
        print(f"{shape} is left out: {free:.0f} GB are free when it needs {needed[shape]:.0f}")
    return [shape for shape, size in needed.items() if size <= free]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", action="append", choices=["tiny", *GROWN])
    parser.add_argument("--only", default="", help="jobs whose title has this text")
    parser.add_argument("--mergekit", action="store_true", help="mergekit's jobs beside ours")
    parser.add_argument("--growth", action="store_true", help="1 to 64 LoRAs, and more shapes")
    parser.add_argument("--profile", action="store_true", help="the stages of every job")
    parser.add_argument("--work", type=Path, default=Path(".bench-merge"), help="models and rows")
    parser.add_argument("--keep", action="store_true", help="keep that folder in the end")
    parser.add_argument("--out", type=Path, help="page whose marked places are filled")
    return parser.parse_args()


def _machine() -> dict[str, Any]:
    sgemm, sha256 = measure.sgemm_rate(), measure.sha256_rate()
    said = (
        f"{measure.hardware()}; sgemm {sgemm / 1e9:.0f} Gflop/s, sha256"
        f" {sha256 / 1e9:.2f} GB/s on all cores; load {measure.load()} at the start."
    )
    return {"sgemm": sgemm, "sha256": sha256, "said": said}


def _jobs(whole: bool, given: argparse.Namespace) -> Sequence[Job]:
    """All jobs of a shape that was asked for; of one between them only what the plots show."""
    if not whole:
        return [job for job in JOBS if job.title in ("3 LoRAs", "16 LoRAs")]
    return [*JOBS, *(map(count_job, COUNTS) if given.growth else ())]


def _ours(
    inputs: Inputs, machine: dict[str, Any], jobs: Sequence[Job], given: argparse.Namespace
) -> None:
    for job in jobs:
        if given.only in job.title:
            _row(inputs, given, job.title, lambda job=job: runs.ours(inputs, machine, job))


def _theirs(inputs: Inputs, jobs: Sequence[Job], given: argparse.Namespace) -> None:
    """mergekit's jobs, and the stages of ours that missed: what takes long comes last."""
    rows = given.work / "rows" / inputs.shape
    for job in jobs:
        if given.only not in job.title:
            continue
        theirs = None
        if given.mergekit and job.kit:
            title = f"{job.title} mergekit"
            theirs = _row(inputs, given, title, lambda job=job: runs.mergekit(inputs, job))
        ours = known(rows, job.title) or {}
        if given.profile or job.bar.met(ours, theirs) is False:
            title = f"{job.title} stages"
            _row(inputs, given, title, lambda job=job: runs.stages(inputs, job))


def _row(
    inputs: Inputs, given: argparse.Namespace, title: str, work: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """One row, and the page with it."""
    row = kept(given.work / "rows" / inputs.shape, title, work)
    said = "  ".join(f"{key} {_short(value)}" for key, value in row.items() if value)
    print(f"{inputs.shape}  {title}:  {said}", flush=True)
    if given.out:
        write_page(given.work, given.out)
    return row


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | int) else str(value)


if __name__ == "__main__":
    main()
