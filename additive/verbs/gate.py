"""The gate alone, on result files of any origin.

gate_files(Path("math.json"), Path("merged.json"), margin=0.02).verdict
"""

from __future__ import annotations

from pathlib import Path

from additive.errors import UsageError
from additive.gate.files import read_result
from additive.gate.rules import judge_target
from additive.gate.verdict import CheckVerdict, overall
from additive.spec.suite import DEFAULT_MARGIN, GateSpec
from additive.types.results import SuiteResult


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
    lower_is_better: bool = False,
) -> CheckVerdict:
    """Whether the candidate loses more than allowed against the reference, item by item.

    margin  the allowed loss, a fraction of the items; 0.05 where neither it nor `retain` is given
    retain  the share of the reference's gain over `base` that must be kept, (0, 1]
    alpha   the error of each side of the test
    metric, filter
            the scores of an lm-eval samples file that count, where it has several
    lower_is_better
            whether a lower score is the better one, as for a word error rate

    Raises: UsageError for a rule that makes no sense; IntegrityError for files that are not
    results; CompatibilityError when they are not of the same items and prompts.
    """
    rule = rule_of(margin, retain, alpha)

    def read(path: Path) -> SuiteResult:
        return read_result(path, metric=metric, filter=filter, lower_is_better=lower_is_better)

    base_result = read(base) if base else None
    verdict = judge_target(base_result, read(reference), read(candidate), rule)
    return overall([verdict], alpha)


def rule_of(margin: float | None, retain: float | None, alpha: float = 0.05) -> GateSpec:
    """The rule of a suite, as the options of `additive gate` say it.

    Raises: UsageError when both or impossible values are given.
    """
    if margin is not None and retain is not None:
        raise UsageError(
            "margin and retain are both given; expected one of them",
            help="--margin allows a loss, --retain keeps a share of the reference's gain",
        )
    for name, value in (("margin", margin), ("retain", retain)):
        if value is not None and not 0 < value <= 1:
            raise UsageError(f"{name} is {value}; expected a fraction in (0, 1]")
    if not 0 < alpha < 0.5:
        raise UsageError(f"alpha is {alpha}; expected a number between 0 and 0.5")
    if retain is not None:
        return GateSpec(retain=retain, alpha=alpha)
    return GateSpec(margin=DEFAULT_MARGIN if margin is None else margin, alpha=alpha)
