"""Checks and manifests that the report tests share: made by hand, whole, the same every time."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from additive.artifacts.manifest import (
    BaseIdentity,
    CurvePoint,
    DataEntry,
    Manifest,
    Parent,
    Snapshot,
)
from additive.report.document import read_check
from additive.report.evidence import Evidence, Flip, Flips

HOSTILE = (
    "</style></title><script>alert('x')</script>\x1b[31m\u202e\u05d0\u05d1|`"
    '<img src=x onerror=y>" onclick="z'
)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def line(suite: str, verdict: str = "pass", **changes: Any) -> dict[str, Any]:
    """One suite of a check document; keys that are not changed belong to a clear pass."""
    plain = {
        "suite": suite,
        "domain": suite.split("-")[0],
        "role": "target",
        "n": 1000,
        "base": 0.124,
        "specialist": 0.951,
        "merged": 0.94,
        "difference": -0.011,
        "interval": [-0.021, -0.001],
        "margin": 0.05,
        "retention": 0.987,
        "verdict": verdict,
        "b10": 31,
        "b01": 20,
        "tasks": [],
        "reason": "",
        "needed": None,
    }
    return plain | changes


GUARD = line(
    "general-text",
    domain=None,
    role="guard",
    base=0.842,
    specialist=None,
    merged=0.836,
    difference=-0.006,
    interval=[-0.015, 0.003],
    margin=0.02,
    retention=None,
)
FAILED = line(
    "code-new-frames",
    "fail",
    base=0.19,
    specialist=0.78,
    merged=0.705,
    difference=-0.075,
    interval=[-0.094, -0.056],
    retention=0.873,
    b10=110,
    b01=35,
    reason="all of the interval is below -0.05",
)
UNDECIDED = line(
    "safety-new-values/comply",
    "cannot tell",
    n=500,
    base=0.66,
    specialist=0.95,
    merged=0.931,
    difference=-0.019,
    interval=[-0.058, 0.021],
    retention=0.934,
    reason="-0.05 is inside the interval",
    needed=1480,
)
NO_GAIN = line(
    "safety-new-frames",
    base=0.9,
    specialist=0.9,
    merged=0.899,
    difference=-0.001,
    interval=[-0.012, 0.01],
    retention=None,
)


def document(
    verdict: str, *suites: dict[str, Any], name: str = "math+code+safety"
) -> dict[str, Any]:
    return {
        "schema": "additive.check/1",
        "name": name,
        "digest": digest(name),
        "verdict": verdict,
        "suites": list(suites),
    }


FAIL = document("fail", line("math-new-values"), FAILED, UNDECIDED, NO_GAIN, GUARD)
CANNOT_TELL = document("cannot tell", line("math-new-values"), UNDECIDED, GUARD)
PASS = document("pass", line("math-new-values"), line("code-new-values"), NO_GAIN, GUARD)
NOT_CHECKED = document("not checked")
DOCUMENTS = {"fail": FAIL, "cannot tell": CANNOT_TELL, "pass": PASS, "not checked": NOT_CHECKED}

BASE = BaseIdentity(
    id="tiny",
    weights=digest("weights"),
    config=digest("config"),
    tokenizer=digest("tokenizer"),
    template=digest("template"),
    digest=digest("base"),
)


def specialist(
    name: str, plateau: int = 400, license: str = "CC0-1.0", norm: float = 1.0
) -> Manifest:
    steps = range(0, plateau + 1, 50)
    scores = {step: round(0.95 - 0.8 * math.exp(-step / 100), 3) for step in steps}
    own = [
        CurvePoint(step=step, suite=name, score=s, low=max(s - 0.04, 0), high=min(s + 0.04, 1))
        for step, s in scores.items()
    ]
    watched = [CurvePoint(step=step, suite="general", score=0.4) for step in steps]
    return Manifest(
        kind="specialist",
        name=name,
        digest=digest(name),
        weights=digest(name + " weights"),
        config=digest(name + " config"),
        files={},
        seal=digest(name + " seal"),
        base=BASE,
        spec={"adapt": {"kind": "lora", "rank": 8}},
        data={"train.jsonl": DataEntry(sha256=digest(name + " rows"), rows=4000, license=license)},
        seed=0,
        curve=(*own, *watched),
        saturation={"outcome": "saturated", "step": plateau - 50, "gain": 0.004},
        snapshots=tuple(
            Snapshot(fraction=f, step=int(f * plateau), path=f"snapshots/{f:g}")
            for f in (0.25, 0.5, 0.75, 1.0)
        ),
        norms={"layer": norm},
    )


SPECIALISTS = (
    specialist("math", 400, norm=2.0),
    specialist("code", 300),
    specialist("safety", 200, "CC-BY-4.0"),
)


def merge(name: str = "math+code+safety", **spec: Any) -> Manifest:
    plain = {"method": {"name": "task_arithmetic"}, "scale": 0.9, "output": "checkpoint"}
    return Manifest(
        kind="merge",
        name=name,
        digest=digest(name),
        weights=digest(name + " weights"),
        config=digest(name + " config"),
        files={},
        seal=digest(name + " seal"),
        base=BASE,
        parents=tuple(
            Parent(name=source.name, digest=source.digest, weight=1.0) for source in SPECIALISTS
        ),
        spec=plain | {"dtype": "auto"} | spec,
        seed=0,
    )


def lost(suite: str, count: int = 3, text: str = "17+25-9=") -> Flips:
    items = tuple(Flip(f"item-{i}", text, "33", f"{text} 33", "32") for i in range(min(count, 20)))
    return Flips(suite, items, count, 2)


def evidence(verdict: str = "fail") -> Evidence:
    flips = (lost("code-new-frames", 110),) if verdict == "fail" else ()
    return Evidence(read_check(DOCUMENTS[verdict]), merge(), SPECIALISTS, flips)
