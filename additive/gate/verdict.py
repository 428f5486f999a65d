"""All suites together: every one must pass, and the worst of them is the headline.

Never the average: a merge whose mean falls by a point while one domain loses ten has failed.

Holm's step-down correction, used only to name what regressed.

The verdict "every domain holds" needs no correction: all tests must reject at alpha (an
intersection-union test). The list "these domains regressed" is a family of claims and does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from additive.types.checks import SuiteVerdict, severity
from additive.types.digests import Digest


def holm(probabilities: Mapping[str, float], alpha: float) -> tuple[str, ...]:
    """The names whose hypothesis is rejected with family-wise error alpha, smallest p first.

    >>> holm({"math": 0.001, "code": 0.03, "safety": 0.4}, 0.05)
    ('math',)
    """
    ordered = sorted(probabilities.items(), key=lambda pair: (pair[1], pair[0]))
    rejected: list[str] = []
    for place, (name, p) in enumerate(ordered):
        if p > alpha / (len(ordered) - place):
            break
        rejected.append(name)
    return tuple(rejected)


SCHEMA = "additive.check/1"


@dataclass(frozen=True)
class CheckVerdict:
    """The verdict on a merge.

    verdict    that of the worst suite; "cannot tell" where there are gaps and nothing failed; "not
               checked" without suites
    suites     in the order given
    worst      the suite that decides
    regressed  suites for which the loss is certain when all of them are asked at once (Holm)
    gaps       what was not compared, in sentences: a merged domain without a target suite, a suite
               that is gone
    """

    verdict: Literal["pass", "fail", "cannot tell", "not checked"]
    suites: tuple[SuiteVerdict, ...]
    worst: SuiteVerdict | None
    regressed: tuple[str, ...]
    gaps: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether a release may follow."""
        return self.verdict == "pass"

    def document(self, name: str, digest: Digest | None = None) -> dict[str, Any]:
        """The JSON document of `additive check` and `additive gate`."""
        return {
            "schema": SCHEMA,
            "name": name,
            "digest": digest,
            "verdict": self.verdict,
            "worst": self.worst.suite if self.worst else None,
            "regressed": list(self.regressed),
            "gaps": list(self.gaps),
            "suites": [suite.document() for suite in self.suites],
        }


def overall(
    suites: Sequence[SuiteVerdict], alpha: float = 0.05, gaps: Sequence[str] = ()
) -> CheckVerdict:
    """The verdict over all suites.

    A suite with two sides passes when both of its lines do, which all of them having to pass
    already says. No correction for many suites is needed to pass (an intersection-union test).

    suites  in the order in which they are shown
    alpha   family-wise error of naming what regressed
    gaps    what was not compared; with one of them nothing passes
    """
    worst = min(suites, key=severity, default=None)
    verdict = worst.verdict if worst else "not checked"
    return CheckVerdict(
        verdict="cannot tell" if gaps and verdict == "pass" else verdict,
        suites=tuple(suites),
        worst=worst,
        regressed=holm({suite.suite: suite.harm for suite in suites}, alpha),
        gaps=tuple(gaps),
    )
