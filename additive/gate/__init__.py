"""The gate: did the merge lose more than was allowed, in any domain?

    judge_target, judge_guard    one suite, item by item -> SuiteVerdict
    overall                      all suites -> CheckVerdict; the worst one is the headline
    read_result                  the scores of a result file
    chance_of_passing, …         what a number of items can decide

Pure functions of scores on numpy and scipy at most; nothing here imports a model. Statistics and
defaults are explained in docs/gate.md.

>>> from additive.gate import tango
>>> round(tango(3, 3, 500, 0.02), 6)
2.754217
"""

from __future__ import annotations

from additive.gate.compare import Comparison, compare, compare_retained
from additive.gate.files import read_result
from additive.gate.power import chance_of_passing, items_needed, visible_drop
from additive.gate.rules import judge_guard, judge_target
from additive.gate.score_test import score_interval, tango
from additive.gate.verdict import CheckVerdict, overall
from additive.types.checks import SuiteVerdict

__all__ = [
    "CheckVerdict",
    "Comparison",
    "SuiteVerdict",
    "chance_of_passing",
    "compare",
    "compare_retained",
    "items_needed",
    "judge_guard",
    "judge_target",
    "overall",
    "read_result",
    "score_interval",
    "tango",
    "visible_drop",
]
