"""The verdict alone, from result files: `additive gate math.json merged.json --margin 0.02`."""

from __future__ import annotations

from pathlib import Path

from additive.errors import UsageError
from additive.gate.readers import read_result
from additive.gate.rules import judge_target
from additive.gate.verdict import CheckVerdict, overall
from additive.spec.gate import DEFAULT_MARGIN, GateSpec


def gate_files(
    reference: Path,
    candidate: Path,
    *,
    base: Path | None = None,
    margin: float | None = None,
    retain: float | None = None,
    alpha: float = 0.05,
    metric: str | None = None,
    filter: str | None = None,
) -> CheckVerdict:
    """Whether the candidate loses more than was allowed against the reference.

    Args: margin is the allowed loss (0.05 when neither is given); retain the share of the
    reference's gain over `base` that must be kept; metric and filter choose among the scores of
    lm-eval samples.
    Raises: UsageError for a rule that makes no sense; IntegrityError for files that are no results;
    CompatibilityError when they are not of the same items and prompts.
    """
    rule = rule_of(margin, retain, alpha)
    results = [
        read_result(path, metric=metric, filter=filter) if path else None
        for path in (base, reference, candidate)
    ]
    asked, specialist, merged = results
    assert specialist is not None
    assert merged is not None
    return overall([judge_target(asked, specialist, merged, rule)], alpha)


def rule_of(margin: float | None, retain: float | None, alpha: float = 0.05) -> GateSpec:
    """The rule that command-line options ask for.

    Raises: UsageError when both or impossible values are given.
    """
    if margin is not None and retain is not None:
        raise UsageError(
            "margin and retain are both given when one of them should be",
            help="--margin allows a loss, --retain keeps a share of the reference's gain",
        )
    for name, value in (("margin", margin), ("retain", retain)):
        if value is not None and not 0 < value <= 1:
            raise UsageError(f"{name} is {value} when it should be a fraction in (0, 1]")
    if not 0 < alpha < 0.5:
        raise UsageError(f"alpha is {alpha} when it should be inside (0, 0.5)")
    if retain is not None:
        return GateSpec(retain=retain, alpha=alpha)
    return GateSpec(margin=DEFAULT_MARGIN if margin is None else margin, alpha=alpha)
