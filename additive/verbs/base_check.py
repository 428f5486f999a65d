"""The functional check: an adopted specialist must beat the base on held-out questions.

An adapter of another base with the same shapes loads without a word and answers worse than the
base; one of this base answers better. Judged as the gate judges a gain: the lower end of the
two-sided 90 % interval of specialist − base over paired items must be above 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from additive.artifacts.base_check import functional_check, is_adopted, keep_functional_check
from additive.artifacts.manifest import Artifact
from additive.gate.compare import compare
from additive.types.results import SuiteResult, pair

ALPHA = 0.05


def record_base_check(
    artifact: Artifact, base: Mapping[str, SuiteResult], specialist: Mapping[str, SuiteResult]
) -> Mapping[str, Any] | None:
    """Judge an adopted specialist on the suites that both were asked, and keep what was found.

    Results are by suite (or suite/side) and all of them count as one set of questions. None for a
    specialist that was trained here, or without any question. Raises: ResourceError.
    """
    names = sorted(base.keys() & specialist.keys())
    if not is_adopted(artifact.manifest) or not names:
        return None
    check = judge([base[name] for name in names], [specialist[name] for name in names])
    known = functional_check(artifact)
    if known is None or any(known.get(key) != value for key, value in check.items()):
        keep_functional_check(artifact, check)
    return check


def judge(base: Sequence[SuiteResult], specialist: Sequence[SuiteResult]) -> dict[str, Any]:
    """The verdict of a functional check: pass, fail, or cannot tell.

    Raises: CompatibilityError when the results are not of the same items and prompts.
    """
    items = [item for b, s in zip(base, specialist, strict=True) for item in pair(b, s)]
    gain = compare(items, ALPHA)
    verdict = "pass" if gain.low > 0 else "fail" if gain.high < 0 else "cannot tell"
    return {
        "verdict": verdict,
        "suites": [result.suite for result in base],
        "n": gain.n,
        "base_score": sum(item.reference for item in items) / gain.n,
        "score": sum(item.candidate for item in items) / gain.n,
        "difference": gain.difference,
        "interval": [gain.low, gain.high],
        "method": gain.method,
    }
