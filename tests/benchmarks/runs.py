"""One job of `make bench-merge`: ours, mergekit's, its stages; a portfolio of candidates."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.bars import CANDIDATES, Job
from tests.benchmarks.measure import child, in_child, io_seconds
from tests.benchmarks.shapes import RANK, Inputs

MODULE = "tests.benchmarks.jobs"
PREPARED = 16


def ours(inputs: Inputs, machine: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """Our cost of a job, T_io before and after it, and the limit with what sets it."""
    sources, out, probe = (
        inputs.sources(job.kind, job.count),
        inputs.root / "out",
        inputs.root / "probe",
    )
    read = sources if job.output == "adapter" else [inputs.base, *sources]
    written = _written(inputs, job, sources)
    before = io_seconds(read, written, probe)
    cost = in_child(MODULE, "ours", _words(inputs, job, sources))
    shutil.rmtree(out)
    io = (before + io_seconds(read, written, probe)) / 2
    bounds = {"T_io": io, **_bounds(inputs, machine, job, written)}
    by = max(bounds, key=lambda name: bounds[name])
    return {**asdict(cost), "io": io, "limit": bounds[by], "by": by}


def mergekit(inputs: Inputs, job: Job) -> dict[str, Any]:
    """mergekit's cost of the same job."""

    def named(path: Path) -> str:
        return f"{inputs.base}+{path}" if job.kind == "lora" else str(path)

    config: dict[str, Any] = dict(job.kit or {})
    config["models"] = [{"model": named(path)} for path in inputs.sources(job.kind, job.count)]
    if config["merge_method"] != "linear":
        config["base_model"] = str(inputs.base)
    out, cache = inputs.root / "out", inputs.root / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    cost = in_child(MODULE, "mergekit", {"config": config, "out": str(out), "cache": str(cache)})
    shutil.rmtree(out)
    shutil.rmtree(cache, ignore_errors=True)
    return asdict(cost)


def stages(inputs: Inputs, job: Job) -> dict[str, Any]:
    """Seconds by stage of a job, in a run of its own."""
    words = _words(inputs, job, inputs.sources(job.kind, job.count))
    found = child(MODULE, "ours", {**words, "profile": True})
    shutil.rmtree(inputs.root / "out")
    return found


def candidates(inputs: Inputs) -> dict[str, Any]:
    """`prepare` of 16 LoRAs, then a candidate of each method, in one process."""
    cache = inputs.root / "cores"
    shutil.rmtree(cache, ignore_errors=True)
    sources = inputs.sources("lora", PREPARED)
    words = {
        "base": str(inputs.base),
        "sources": list(map(str, sources)),
        "cache": str(cache),
        "methods": list(CANDIDATES),
    }
    found = child(MODULE, "portfolio", words)
    shutil.rmtree(cache)
    return {"steps": found}


def _words(inputs: Inputs, job: Job, sources: list[Path]) -> dict[str, object]:
    out = inputs.root / "out"
    shutil.rmtree(out, ignore_errors=True)
    return {
        "base": str(inputs.base),
        "sources": list(map(str, sources)),
        "method": job.method,
        "output": job.output,
        "out": str(out),
    }


def _written(inputs: Inputs, job: Job, sources: list[Path]) -> int:
    if job.output != "adapter":
        return sum(path.stat().st_size for path in inputs.base.glob("*.safetensors"))
    # Read in bfloat16, written in float32.
    return 2 * sum(path.stat().st_size for s in sources for path in s.glob("*.safetensors"))


def _bounds(inputs: Inputs, machine: Mapping[str, Any], job: Job, written: int) -> dict[str, float]:
    """Seconds of arithmetic and of hashing that the job cannot do without."""
    product = job.kind == "lora" and job.output != "adapter"
    flops = 2 * RANK * job.count * inputs.adapted if product else 0
    return {"sgemm": flops / machine["sgemm"], "sha256": written / machine["sha256"]}
