"""The record of a check: the verdict on a suite, and on all suites of a merge together.

    {"schema": "additive.check/1", "name": "math+code", "digest": "9f3c…", "verdict": "fail",
     "worst": "code-new-frames", "regressed": ["code-new-frames"], "gaps": [],
     "suites": [{"suite": "code-new-frames", "domain": "code", "role": "target", "n": 1000,
                 "base": 0.21, "specialist": 0.88, "merged": 0.81,
                 "difference": -0.07, "interval": [-0.09, -0.05], "margin": 0.05,
                 "retention": 0.90, "verdict": "fail", "b10": 90, "b01": 20, "unscored": 0,
                 "tasks": [], "reason": "…", "needed": null}]}

`difference` is merged − reference; the reference is the specialist, or the base for guards and for
specialists that gained nothing. The interval is the two-sided 90 % interval of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "fail", "cannot tell"]


SUITE_VERDICTS = ("fail", "cannot tell", "pass")
"""From the worst."""


@dataclass(frozen=True)
class SuiteVerdict:
    """What the gate says about one suite, or about one side of a two-sided suite (`suite/side`).

    suite        its name
    domain       the domain that it tests
    role         target: compared with the domain's specialist; guard: with the base
    n            items that every model has a score for
    base, specialist, merged  mean scores; None where a model was not asked or has no score
    difference   merged − reference, with its two-sided `interval`
    margin       the loss that is allowed
    retention    the share of the specialist's gain that is kept; None where there is none
    verdict      pass, fail or cannot tell, and the `reason`
    b10, b01     items that got worse, and better
    needed       how many items would settle what cannot be told
    method       the statistical test
    harm         p of "no more than the margin is lost"
    retain       the share of the gain that the suite asks for, if it does
    unscored     items that some model has no score for
    tasks        the scores by task
    """

    suite: str
    domain: str | None
    role: Literal["target", "guard"]
    n: int
    base: float | None
    specialist: float | None
    merged: float | None
    difference: float
    interval: tuple[float, float]
    margin: float
    retention: float | None
    verdict: Verdict
    b10: int
    b01: int
    reason: str
    needed: int | None
    method: str
    harm: float
    retain: float | None = None
    unscored: int = 0
    tasks: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def slack(self) -> float:
        """How far the interval's lower end is above −margin; above 0 is a pass."""
        return self.interval[0] + self.margin

    @property
    def gain(self) -> float | None:
        """What the specialist gained over the base; None where there is nothing to retain."""
        if self.retention is None or self.specialist is None or self.base is None:
            return None
        gain = self.specialist - self.base
        return gain if gain > 0 else None

    @property
    def reference(self) -> str:
        """In words, what the merge was compared with."""
        retained = self.base is None or self.gain is not None
        return "its specialist" if self.specialist is not None and retained else "the base"

    def document(self) -> dict[str, Any]:
        """As JSON values, keyed as `additive check --json` prints it."""
        return {
            **asdict(self),
            "interval": list(self.interval),
            "tasks": [dict(task) for task in self.tasks],
        }


def severity(suite: SuiteVerdict) -> tuple[int, float, str]:
    """Sorts suites from the worst: failed, undecided, passed; among those the least slack."""
    return SUITE_VERDICTS.index(suite.verdict), suite.slack, suite.suite
