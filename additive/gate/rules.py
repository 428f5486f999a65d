"""One suite's rule applied to its scores.

target   merge against the domain's specialist: margin m, or retain f (the margin is then
         (1 − f) · gain). Without a gain to lose it is judged as a guard.
guard    merge against the base, margin m

pass         low > −m
fail         high < −m
cannot tell  anything else, and a pass that the base itself would have had
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from additive.errors import UsageError
from additive.gate.compare import Comparison, compare, compare_retained
from additive.gate.power import items_needed
from additive.spec.suite import DEFAULT_MARGIN, GateSpec
from additive.types.results import PairedItem, SuiteResult, pair

Verdict = Literal["pass", "fail", "cannot tell"]


MARGIN_TOO_WIDE = "margin too wide"


@dataclass(frozen=True)
class SuiteVerdict:
    """What the gate says about one suite, or about one side of a two-sided suite (`suite/side`).

    Scores are means over `n` items. `difference` is merged − reference with its two-sided interval;
    the reference is the specialist, or the base for guards and for specialists that gained nothing
    (then `retention` is null). `harm` is the p of "no more than the margin is lost". `needed` says
    how many items would settle what cannot be told. `tasks` breaks the scores down.
    """

    suite: str
    domain: str | None
    role: Literal["target", "guard"]
    n: int
    base: float | None
    specialist: float | None
    merged: float
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
    tasks: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def slack(self) -> float:
        """How far the interval's lower end is above −margin; above 0 is a pass."""
        return self.interval[0] + self.margin

    def document(self) -> dict[str, Any]:
        """As JSON values, keyed as `additive check --json` prints it."""
        return {
            **asdict(self),
            "interval": list(self.interval),
            "tasks": [dict(t) for t in self.tasks],
        }


def judge_target(
    base: SuiteResult | None,
    specialist: SuiteResult,
    merged: SuiteResult,
    rule: GateSpec,
    domain: str | None = None,
) -> SuiteVerdict:
    """Judge a merge on a suite of one of its own domains.

    Args: without a base there is no gain to measure, so only a margin can be asked for.
    Raises: CompatibilityError when the results are not of the same items and prompts; UsageError
    when `retain` is asked for without a base.
    """
    items = pair(specialist, merged)
    if base is None:
        if rule.retain is not None:
            raise UsageError(
                "retain needs results of the base, to measure the gain",
                where=merged.suite,
                help="give the base's results too, or a margin",
            )
        found = compare(items, rule.alpha, rule.exact_guard)
        return _verdict(found, rule, _scores(None, specialist, merged), domain, "target")
    gain = compare(pair(base, specialist), rule.alpha, rule.exact_guard)
    if gain.low <= 0:
        return _without_gain(base, specialist, merged, rule, domain, gain)
    scores = _scores(base, specialist, merged)
    if rule.retain is not None:
        by_id = {item.id: item.score for item in base.items}
        found, margin = compare_retained(
            items, [by_id[item.id] for item in items], rule.retain, rule.alpha, rule.exact_guard
        )
        return _verdict(found, rule, scores, domain, "target", margin=margin)
    found = compare(items, rule.alpha, rule.exact_guard)
    as_base = compare(pair(specialist, base), rule.alpha, rule.exact_guard)
    too_wide = as_base.low > -_margin(rule)
    return _verdict(found, rule, scores, domain, "target", too_wide=too_wide)


def judge_guard(
    base: SuiteResult, merged: SuiteResult, rule: GateSpec, domain: str | None = None
) -> SuiteVerdict:
    """Judge a merge on a suite where nothing was to be gained, against the base.

    Raises: CompatibilityError when the results are not of the same items and prompts.
    """
    found = compare(pair(base, merged), rule.alpha, rule.exact_guard)
    return _verdict(found, rule, _scores(base, None, merged), domain, "guard")


@dataclass(frozen=True)
class _Scores:
    base: SuiteResult | None
    specialist: SuiteResult | None
    merged: SuiteResult
    gained: bool


def _scores(
    base: SuiteResult | None, specialist: SuiteResult | None, merged: SuiteResult
) -> _Scores:
    return _Scores(base, specialist, merged, base is not None and specialist is not None)


def _without_gain(
    base: SuiteResult,
    specialist: SuiteResult,
    merged: SuiteResult,
    rule: GateSpec,
    domain: str | None,
    gain: Comparison,
) -> SuiteVerdict:
    found = compare(pair(base, merged), rule.alpha, rule.exact_guard)
    why = (
        f"the specialist gained {gain.difference:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], which "
        "is no gain to retain, so the base is the reference"
    )
    scores = _Scores(base, specialist, merged, gained=False)
    return _verdict(found, rule, scores, domain, "target", why=why)


def _verdict(
    found: Comparison,
    rule: GateSpec,
    scores: _Scores,
    domain: str | None,
    role: Literal["target", "guard"],
    *,
    margin: float | None = None,
    too_wide: bool = False,
    why: str = "",
) -> SuiteVerdict:
    allowed = _margin(rule) if margin is None else margin
    said = _decide(found, allowed, too_wide)
    needed = _needed(found, allowed, rule) if said == "cannot tell" and not too_wide else None
    reason = _reason(found, allowed, said, too_wide, needed)
    return SuiteVerdict(
        suite=scores.merged.suite,
        domain=domain,
        role=role,
        n=found.n,
        base=scores.base.mean if scores.base else None,
        specialist=scores.specialist.mean if scores.specialist else None,
        merged=scores.merged.mean,
        difference=found.difference,
        interval=(found.low, found.high),
        margin=allowed,
        retention=_retention(scores),
        verdict=said,
        b10=found.b10,
        b01=found.b01,
        reason=f"{why}; {reason}" if why else reason,
        needed=needed,
        method=found.method,
        harm=found.harm(allowed),
        retain=rule.retain if margin is not None else None,
        tasks=_by_task(scores),
    )


def _margin(rule: GateSpec) -> float:
    """The absolute margin; a rule that says `retain` gets the default where there is no gain."""
    return DEFAULT_MARGIN if rule.margin is None else rule.margin


def _decide(found: Comparison, margin: float, too_wide: bool) -> Verdict:
    if found.low > -margin:
        return "cannot tell" if too_wide else "pass"
    return "fail" if found.high < -margin else "cannot tell"


def _needed(found: Comparison, margin: float, rule: GateSpec) -> int | None:
    if not math.isfinite(found.error):
        return None
    variance = found.error**2 * found.n
    needed = items_needed(found.difference, variance, margin, rule.alpha)
    return None if needed is None else max(needed, found.n + 1)


def _reason(
    found: Comparison, margin: float, said: Verdict, too_wide: bool, needed: int | None
) -> str:
    if said == "pass":
        return f"the lower end {found.low:+.3f} is above the margin {-margin:+.3f}"
    if said == "fail":
        return f"the upper end {found.high:+.3f} is below the margin {-margin:+.3f}"
    if too_wide and found.low > -margin:
        return (
            f"{MARGIN_TOO_WIDE}: with {-margin:+.3f} the base itself would pass; "
            "write gate: {retain: 0.9} instead"
        )
    items = "no number of items is likely to" if needed is None else f"about {needed} items would"
    return (
        f"the margin {-margin:+.3f} is inside the interval [{found.low:+.3f}, {found.high:+.3f}]; "
        f"{items} settle it"
    )


def _retention(scores: _Scores) -> float | None:
    if not scores.gained or scores.base is None or scores.specialist is None:
        return None
    gain = scores.specialist.mean - scores.base.mean
    return (scores.merged.mean - scores.base.mean) / gain if gain > 0 else None


def _by_task(scores: _Scores) -> tuple[Mapping[str, Any], ...]:
    """Means per task, the part of an item's id before the first `/`; nothing when ids have none."""
    reference = scores.specialist if scores.gained and scores.specialist else scores.base
    pairs = pair(reference or scores.specialist or scores.merged, scores.merged)
    tasks = dict.fromkeys(item.id.partition("/")[0] for item in pairs if "/" in item.id)
    return tuple(_task(task, scores, pairs) for task in tasks)


def _task(task: str, scores: _Scores, pairs: Sequence[PairedItem]) -> Mapping[str, Any]:
    chosen = [item for item in pairs if item.id.startswith(task + "/")]
    return {
        "task": task,
        "n": len(chosen),
        "base": _task_mean(scores.base, task),
        "specialist": _task_mean(scores.specialist, task),
        "merged": _task_mean(scores.merged, task),
        "b10": sum(item.candidate < item.reference for item in chosen),
        "b01": sum(item.candidate > item.reference for item in chosen),
    }


def _task_mean(result: SuiteResult | None, task: str) -> float | None:
    if result is None:
        return None
    scores = [item.score for item in result.items if item.id.startswith(task + "/")]
    return math.fsum(scores) / len(scores) if scores else None
