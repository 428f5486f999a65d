"""What a merge costs beside the reading and writing that it cannot do without.

    python -m tests.benchmarks.merge --shape 135m --mergekit --out docs/performance.md

T_io is the time to read every input once and to write the output once with fsync, measured before
and after each job; ratios are wall / T_io. Memory is the rise of anonymous memory over what the
imports hold. With --mergekit its jobs run beside ours, on the same inputs; that takes most of the
time.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.measure import (
    Cost,
    fill,
    hardware,
    in_child,
    io_seconds,
    load,
    sgemm_rate,
    sha256_rate,
    table,
)
from tests.merge.measuring import layout, write_random_lora, write_random_model

RANK = 16
HEAD = (
    *("job", "wall s", "processor s", "T_io s", "limit s", "wall / limit"),
    *("memory MB", "temporary MB"),
)


@dataclass(frozen=True)
class Job:
    """Sources of a kind through a method into an output, and mergekit's words for the same."""

    title: str
    kind: str
    count: int
    method: str
    output: str = "checkpoint"
    kit: dict[str, object] | None = None


SUM = {"merge_method": "task_arithmetic", "parameters": {"weight": 1.0}}
JOBS = (
    Job("3 LoRAs", "lora", 3, "task_arithmetic", kit=SUM),
    Job("16 LoRAs", "lora", 16, "task_arithmetic"),
    Job("3 LoRAs, adapter out", "lora", 3, "task_arithmetic", "adapter"),
    Job("16 LoRAs, adapter out", "lora", 16, "task_arithmetic", "adapter"),
    Job("3 LoRAs, tsv_m", "lora", 3, "tsv_m"),
    Job("3 LoRAs, ties", "lora", 3, "ties"),
    Job(
        "3 fine-tunes, linear",
        "full",
        3,
        "linear",
        kit={"merge_method": "linear", "parameters": {"weight": 1.0}},
    ),
    Job(
        "3 fine-tunes, ties 0.2",
        "full",
        3,
        "ties",
        kit={"merge_method": "ties", "parameters": {"weight": 1.0, "density": 0.2}},
    ),
    Job(
        "3 fine-tunes, dare_ties",
        "full",
        3,
        "dare_ties",
        kit={"merge_method": "dare_ties", "parameters": {"weight": 1.0, "density": 0.5}},
    ),
    Job(
        "3 fine-tunes, della",
        "full",
        3,
        "della",
        kit={
            "merge_method": "della",
            "parameters": {"weight": 1.0, "density": 0.6, "epsilon": 0.15},
        },
    ),
    Job(
        "3 fine-tunes, breadcrumbs",
        "full",
        3,
        "breadcrumbs",
        kit={
            "merge_method": "breadcrumbs",
            "parameters": {"weight": 1.0, "density": 0.85, "gamma": 0.01},
        },
    ),
)
GROWTH = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Machine:
    """What no merge on this machine can beat: operations and hashed bytes per second."""

    sgemm: float
    sha256: float


@dataclass(frozen=True)
class Inputs:
    """The models of one shape."""

    shape: str
    root: Path
    base: Path
    loras: list[Path]
    tuned: list[Path]

    def of(self, job: Job) -> list[Path]:
        """A job's sources."""
        return (self.loras if job.kind == "lora" else self.tuned)[: job.count]


def main() -> None:
    """Run what is asked for, print it, and write the page."""
    given = _arguments()
    machine = Machine(sgemm_rate(), sha256_rate())
    said = _introduction(machine)
    for shape in given.shape or ["135m"]:
        root = Path(tempfile.mkdtemp(prefix="additive-bench-", dir=given.work))
        try:
            inputs = _write_inputs(root, shape, 64 if given.growth else 16)
            text = _section(inputs, machine, given)
        finally:
            shutil.rmtree(root)
        if given.out:
            fill(given.out, shape, f"{said}\n\n{text}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", action="append", choices=["135m", "640mb", "1b"])
    parser.add_argument("--only", default="", help="jobs whose title has this text")
    parser.add_argument("--mergekit", action="store_true", help="mergekit's jobs beside ours")
    parser.add_argument("--growth", action="store_true", help="1 to 64 LoRAs")
    parser.add_argument("--work", type=Path, help="where the models are written")
    parser.add_argument("--out", type=Path, help="page whose marked places are filled")
    return parser.parse_args()


def _introduction(machine: Machine) -> str:
    said = (
        f"{hardware()}; sgemm {machine.sgemm / 1e9:.0f} Gflop/s, sha256"
        f" {machine.sha256 / 1e9:.2f} GB/s on all cores; load {load()} at the start."
    )
    print(said, flush=True)
    return said


def _write_inputs(root: Path, shape: str, loras: int) -> Inputs:
    return Inputs(
        shape,
        root,
        write_random_model(root / "base", shape, 0),
        [write_random_lora(root / f"lora{i}", shape, 100 + i, RANK) for i in range(loras)],
        [write_random_model(root / f"full{i}", shape, 200 + i) for i in range(3)],
    )


def _section(inputs: Inputs, machine: Machine, given: argparse.Namespace) -> str:
    rows = []
    for job in JOBS:
        if given.only in job.title:
            for row in _rows(inputs, machine, job, given.mergekit):
                print("  ".join(row), flush=True)
                rows.append(row)
    text = table(HEAD, rows)
    if not given.growth:
        return text
    growth = []
    for count in GROWTH:
        job = Job(f"{count} LoRAs", "lora", count, "task_arithmetic")
        growth += list(_rows(inputs, machine, job, False))
        print("  ".join(growth[-1]), flush=True)
    return f"{text}\n\n1 to 64 LoRAs:\n\n{table(HEAD, growth)}"


def _rows(inputs: Inputs, machine: Machine, job: Job, with_mergekit: bool) -> Iterator[list[str]]:
    sources = inputs.of(job)
    read = sources if job.output == "adapter" else [inputs.base, *sources]
    out = inputs.root / "out"
    written = sum(path.stat().st_size for path in inputs.base.glob("*.safetensors"))
    if job.output == "adapter":
        written = 2 * sum(p.stat().st_size for s in sources for p in s.glob("*.safetensors"))
    before = io_seconds(read, written, inputs.root / "probe")
    arguments: dict[str, object] = {
        "base": str(inputs.base),
        "sources": list(map(str, sources)),
        "method": job.method,
        "output": job.output,
        "out": str(out),
    }
    cost = in_child("tests.benchmarks.jobs", "ours", arguments)
    shutil.rmtree(out)
    seconds = (before + io_seconds(read, written, inputs.root / "probe")) / 2
    limit = max(seconds, *_bounds(inputs, machine, job, written))
    yield _row(job.title, cost, seconds, limit)
    if with_mergekit and job.kit is not None:
        theirs = in_child("tests.benchmarks.jobs", "mergekit", _kit(inputs, job, out))
        shutil.rmtree(out)
        shutil.rmtree(inputs.root / "cache", ignore_errors=True)
        factor = theirs.processor / cost.processor
        yield _row(
            f"{job.title}: mergekit ({factor:.1f} × our processor time)", theirs, seconds, limit
        )


def _bounds(inputs: Inputs, machine: Machine, job: Job, written: int) -> tuple[float, float]:
    """Seconds of arithmetic and of hashing that the job cannot do without."""
    linear = sum(d[0] * d[1] for name, d in layout(inputs.shape) if "_proj" in name)
    flops = 2 * RANK * job.count * linear if job.kind == "lora" and job.output != "adapter" else 0
    return flops / machine.sgemm, written / machine.sha256


def _kit(inputs: Inputs, job: Job, out: Path) -> dict[str, object]:
    def named(path: Path) -> str:
        return f"{inputs.base}+{path}" if job.kind == "lora" else str(path)

    config: dict[str, object] = dict(job.kit or {})
    config["models"] = [{"model": named(path)} for path in inputs.of(job)]
    if config["merge_method"] != "linear":
        config["base_model"] = str(inputs.base)
    return {"config": config, "out": str(out), "cache": str(inputs.root / "cache")}


def _row(title: str, cost: Cost, io: float, limit: float) -> list[str]:
    return [
        title,
        f"{cost.wall:.1f}",
        f"{cost.processor:.1f}",
        f"{io:.1f}",
        f"{limit:.1f}",
        f"{cost.wall / limit:.2f}",
        f"{cost.memory / 1e6:.0f}",
        f"{cost.temporary / 1e6:.0f}",
    ]


if __name__ == "__main__":
    main()
