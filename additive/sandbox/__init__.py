"""The sandbox: code that a model wrote is run against tests, and can do nothing else.

    run_tests(code, tests)    one program
    run_many(jobs)            many, side by side, some milliseconds each
    call_many(calls)          a user's grader over many answers
    available_level()         what holds the code on this machine (see `levels`)

Why a printed "PASS", os._exit(0), an object that equals everything, or a look into the memory of
the tests cannot pass: docs/gate.md.
"""

from __future__ import annotations

from additive.sandbox.levels import (
    SandboxLevel,
    available_level,
    sandbox_levels,
    strongest_level,
)
from additive.sandbox.runner import (
    CallError,
    Calls,
    Job,
    Limits,
    Outcome,
    call_many,
    run_many,
    run_tests,
)

__all__ = [
    "CallError",
    "Calls",
    "Job",
    "Limits",
    "Outcome",
    "SandboxLevel",
    "available_level",
    "call_many",
    "run_many",
    "run_tests",
    "sandbox_levels",
    "strongest_level",
]
