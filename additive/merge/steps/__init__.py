"""Steps around a method: before it, on the sources' deltas; after it, on the merged delta.

A step is a frozen dataclass whose fields are its parameters. It has any of

    before_core(core) -> Core             the sources of one matrix, changed
    after_core(merged, core) -> Tensor    the merged matrix, changed; `core` are the sources as the
                                          method saw them
    factor(stack) -> float                a number that multiplies a parameter of any shape, in its
                                          place among the steps of a matrix
    balance(lengths) -> factors           of the sources' weights, from their whole norms ‖τᵢ‖

A step before the method may have an `after_core` too, which then runs right after the method. Steps
in core space leave vectors alone. Plug-ins join through the entry point group
`additive.merge_steps`.
"""

from __future__ import annotations

from typing import Any

from additive.registry import Registry

BEFORE = {
    "balance": "additive.merge.steps.balance:Balance",
    "pico": "additive.merge.methods.pico:Pico",  # arXiv:2604.16826
}


AFTER = {
    "lines": "additive.merge.steps.lines:Lines",  # arXiv:2410.17146
    "svc": "additive.merge.methods.svc:Svc",  # arXiv:2602.05536
}


STEPS: Registry[Any] = Registry("merge step", BEFORE | AFTER, "additive.merge_steps")
