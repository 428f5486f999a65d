"""One suite's rule applied to its scores.

target   merge against the domain's specialist: margin m, or retain f (the margin is then
         (1 − f) · gain). Without a gain to lose it is judged as a guard.
guard    merge against the base, margin m

pass         low > −m
fail         high < −m
cannot tell  anything else; a pass that the base itself would have had; a reference that scores no
             more than the margin, which cannot lose that much; a verdict that items without a score
             could turn
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from additive.errors import UsageError
from additive.gate.compare import Comparison, compare, compare_retained
from additive.gate.power import items_needed
from additive.spec.suite import DEFAULT_MARGIN, GateSpec
from additive.types.checks import SuiteVerdict, Verdict
from additive.types.results import PairedItem, SuiteResult, pair

MARGIN_TOO_WIDE = "margin too wide"


NOTHING_TO_LOSE = "nothing to lose here"


def judge_target(
    base: SuiteResult | None,
    specialist: SuiteResult,
    merged: SuiteResult,
    rule: GateSpec,
    domain: str | None = None,
) -> SuiteVerdict:
    """Judge a merge on a suite of one of its own domains.

    base  without it there is no gain to measure, so only a margin can be asked for

    Raises: CompatibilityError when the results are not of the same items and prompts; UsageError
    when `retain` is asked for without a base.
    """
    pair(specialist, merged)
    if base is not None:
        pair(base, specialist)

    def judge(results: _Results) -> SuiteVerdict:
        assert results.specialist is not None
        return _target(results.base, results.specialist, results.merged, rule, domain)

    return _closed(_Results(base, specialist, merged), judge, domain, "target", rule)


def judge_guard(
    base: SuiteResult, merged: SuiteResult, rule: GateSpec, domain: str | None = None
) -> SuiteVerdict:
    """Judge a merge on a suite where nothing was to be gained, against the base.

    Raises: CompatibilityError when the results are not of the same items and prompts.
    """
    pair(base, merged)

    def judge(results: _Results) -> SuiteVerdict:
        assert results.base is not None
        found = compare(pair(results.base, results.merged), rule.alpha, rule.exact_guard)
        scores = _Scores(results.base, None, results.merged, gained=False)
        return _verdict(found, rule, scores, domain, "guard")

    return _closed(_Results(base, None, merged), judge, domain, "guard", rule)


@dataclass(frozen=True)
class _Results:
    """The results of the models of one suite."""

    base: SuiteResult | None
    specialist: SuiteResult | None
    merged: SuiteResult

    def _all(self) -> list[SuiteResult]:
        return [r for r in (self.base, self.specialist, self.merged) if r is not None]

    def unscored(self) -> dict[str, str]:
        """Item -> why some model has no score for it."""
        return {
            item.id: f"{result.model}: {item.unscored or 'no score'}"
            for result in self._all()
            for item in result.unscored
        }

    def without(self, names: Collection[str]) -> _Results:
        """The results on all other items."""

        def kept(result: SuiteResult | None) -> SuiteResult | None:
            if result is None:
                return None
            items = tuple(item for item in result.items if item.id not in names)
            return replace(result, items=items)

        merged = kept(self.merged)
        assert merged is not None
        return _Results(kept(self.base), kept(self.specialist), merged)

    def counted(self, reference: float, merged: float) -> _Results:
        """The results with these scores for items without one; the reference is the specialist
        where there is one, and the base then counts as having gained nothing itself."""
        base_score = 0.0 if self.specialist else reference
        return _Results(
            self.base.with_unscored_as(base_score) if self.base else None,
            self.specialist.with_unscored_as(reference) if self.specialist else None,
            self.merged.with_unscored_as(merged),
        )


def _closed(
    results: _Results,
    judge: Callable[[_Results], SuiteVerdict],
    domain: str | None,
    role: Literal["target", "guard"],
    rule: GateSpec,
) -> SuiteVerdict:
    """The verdict, failing closed: an item without a score is never a reason to pass.

    The verdict on the scored items stands only if it stays the same when every other item counts
    against it: 1 for the reference and 0 for the merge under a pass, the reverse under a fail.
    """
    unscored = results.unscored()
    scored = results.without(unscored)
    if not scored.merged.items:
        return _without_scores(results, unscored, domain, role, rule)
    verdict = judge(scored)
    if not unscored:
        return verdict
    against = {"pass": (1.0, 0.0), "fail": (0.0, 1.0)}.get(verdict.verdict)
    stands = against is None or judge(results.counted(*against)).verdict == verdict.verdict
    name, why = next(iter(unscored.items()))
    reason = f"{len(unscored)} items have no score ({name}: {why})"
    if stands:
        return replace(verdict, unscored=len(unscored), reason=f"{verdict.reason}; {reason}")
    return replace(
        verdict,
        verdict="cannot tell",
        unscored=len(unscored),
        needed=None,
        reason=f"{reason}; counted against it, the verdict is not {verdict.verdict}",
    )


def _without_scores(
    results: _Results,
    unscored: Mapping[str, str],
    domain: str | None,
    role: Literal["target", "guard"],
    rule: GateSpec,
) -> SuiteVerdict:
    name, why = next(iter(unscored.items()))
    return SuiteVerdict(
        suite=results.merged.suite,
        domain=domain,
        role=role,
        n=0,
        base=results.base.mean if results.base else None,
        specialist=results.specialist.mean if results.specialist else None,
        merged=results.merged.mean,
        difference=0.0,
        interval=(-1.0, 1.0),
        margin=_margin(rule),
        retention=None,
        verdict="cannot tell",
        b10=0,
        b01=0,
        reason=f"no item has a score of every model ({name}: {why})",
        needed=None,
        method="none",
        harm=1.0,
        retain=rule.retain,
        unscored=len(unscored),
    )


def _target(
    base: SuiteResult | None,
    specialist: SuiteResult,
    merged: SuiteResult,
    rule: GateSpec,
    domain: str | None,
) -> SuiteVerdict:
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
        by_id = {item.id: item.score or 0.0 for item in base.items}
        found, margin = compare_retained(
            items, [by_id[item.id] for item in items], rule.retain, rule.alpha, rule.exact_guard
        )
        return _verdict(found, rule, scores, domain, "target", margin=margin)
    found = compare(items, rule.alpha, rule.exact_guard)
    as_base = compare(pair(specialist, base), rule.alpha, rule.exact_guard)
    too_wide = as_base.low > -_margin(rule)
    return _verdict(found, rule, scores, domain, "target", too_wide=too_wide)


@dataclass(frozen=True)
class _Scores:
    base: SuiteResult | None
    specialist: SuiteResult | None
    merged: SuiteResult
    gained: bool

    @property
    def reference(self) -> SuiteResult:
        """What the merge is compared with."""
        return (self.specialist if self.gained or self.base is None else self.base) or self.merged

    @property
    def reference_name(self) -> str:
        """The reference in a sentence."""
        return "specialist" if self.reference is self.specialist else "base"


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
    floor = scores.reference.mean or 0.0
    if said != "fail" and floor <= allowed:
        said, needed = "cannot tell", None
        reason = (
            f"{NOTHING_TO_LOSE}: the {scores.reference_name} scores {floor:.3f},"
            f" no more than the margin {allowed:.3f}"
        )
    else:
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
    base, specialist, merged = (
        r.mean or 0.0 for r in (scores.base, scores.specialist, scores.merged)
    )
    gain = specialist - base
    return (merged - base) / gain if gain > 0 else None


def _by_task(scores: _Scores) -> tuple[Mapping[str, Any], ...]:
    """Means per task, the part of an item's id before the first `/`; nothing when ids have none."""
    pairs = pair(scores.reference, scores.merged)
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
    scores = [i.score for i in result.items if i.score is not None and i.id.startswith(task + "/")]
    return math.fsum(scores) / len(scores) if scores else None
