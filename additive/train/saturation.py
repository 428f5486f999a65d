"""When a domain is saturated: a pure rule on its curve.

The question is not whether the last evaluations were better than the ones before (they are noisy)
but how much could still be gained. Two bounds answer it, each with the given confidence:

* on items: the slope of the validation score over the last `window` evaluations, times `horizon`;
* on loss: the relative fall of the validation loss over the next `horizon` evaluations, times the
  share of items that are still wrong (what the falling loss could still turn into right answers).

Slopes are least squares over evaluations, each item with itself (paired). Their standard error is
the larger of two: between items (would other items say the same?) and around the line (would
other evaluations?). Saturated means that both bounds are below `min_gain`, after `minimum`
evaluations. Overfitting means that the items have nothing more to gain while the loss surely rises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from scipy import stats


class Rule(Protocol):
    """The keys of `saturation:` in domain.yaml that the rule reads (`spec.SaturationSpec`)."""

    @property
    def min_gain(self) -> float: ...
    @property
    def horizon(self) -> int: ...
    @property
    def window(self) -> int: ...
    @property
    def minimum(self) -> int: ...
    @property
    def confidence(self) -> float: ...


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: per item its score in [0, 1] and the loss of its answer in nats per token.

    Items are in the same order in every evaluation of a run. `train_loss` is the mean training loss
    since the evaluation before; `also` has mean scores of other suites that are only watched.
    """

    step: int
    correct: tuple[float, ...]
    losses: tuple[float, ...]
    train_loss: float | None = None
    also: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The mean score of the items."""
        return math.fsum(self.correct) / len(self.correct)

    @property
    def loss(self) -> float:
        """The mean loss of the items."""
        return math.fsum(self.losses) / len(self.losses)


@dataclass(frozen=True)
class Saturation:
    """What the rule says of a curve, with the numbers that it says it from.

    `gain` is the upper bound of what is still to come, as a fraction of the items: the larger of
    `gain_items` and `gain_loss`. `rise` is the lower bound of the loss's relative rise.
    """

    outcome: str | None
    step: int
    evaluations: int
    score: float
    loss: float
    gain: float | None = None
    gain_items: float | None = None
    gain_loss: float | None = None
    rise: float | None = None

    def record(self) -> dict[str, Any]:
        """The numbers as JSON."""
        return asdict(self)


def judge(curve: Sequence[Evaluation], rule: Rule) -> Saturation:
    """What the curve says at its last evaluation; `outcome` is None while training should go on.

    Args: curve has the evaluations so far in the order of their steps, all of the same items.
    Outcomes: None, "saturated", "overfitting", "diverged" (a loss that is no finite number).
    """
    last = curve[-1]
    trained = [evaluation for evaluation in curve if evaluation.step > 0]
    plain = Saturation(None, last.step, len(trained), last.score, last.loss)
    if not math.isfinite(last.loss):
        return _replace(plain, outcome="diverged")
    if len(trained) < max(rule.minimum, rule.window):
        return plain
    recent = trained[-rule.window :]
    items = _upper_gain(np.array([e.correct for e in recent]), rule)
    fall, rise = _relative_loss(np.array([e.losses for e in recent]), rule)
    wrong = 1 - math.fsum(e.score for e in recent[-3:]) / len(recent[-3:])
    numbers = {"gain_items": min(items, wrong), "gain_loss": wrong * fall, "rise": rise}
    gain = max(numbers["gain_items"], numbers["gain_loss"])
    return _replace(plain, outcome=_outcome(numbers, rule), gain=gain, **numbers)


def first_outcome(curve: Sequence[Evaluation], rule: Rule) -> Saturation | None:
    """The verdict at the first evaluation where there is one, as training met it."""
    for end in range(1, len(curve) + 1):
        verdict = judge(curve[:end], rule)
        if verdict.outcome is not None:
            return verdict
    return None


def _outcome(numbers: dict[str, float], rule: Rule) -> str | None:
    if numbers["gain_items"] >= rule.min_gain:
        return None
    if numbers["rise"] > 0:
        return "overfitting"
    return "saturated" if numbers["gain_loss"] < rule.min_gain else None


def _slopes(values: np.ndarray) -> tuple[float, float]:
    """Slope per evaluation of the mean over items, and its standard error; values [window,
    items]."""
    window, items = values.shape
    time = np.arange(window) - (window - 1) / 2
    spread = float((time**2).sum())
    per_item = time @ values / spread
    mean = values.mean(axis=1)
    slope = float(per_item.mean())
    residuals = mean - mean.mean() - slope * time
    around = math.sqrt(float((residuals**2).sum()) / (window - 2) / spread)
    between = float(per_item.std(ddof=1)) / math.sqrt(items) if items > 1 else 0.0
    return slope, max(around, between)


def _upper_gain(correct: np.ndarray, rule: Rule) -> float:
    slope, error = _slopes(correct)
    return rule.horizon * (slope + _quantile(rule) * error)


def _relative_loss(losses: np.ndarray, rule: Rule) -> tuple[float, float]:
    """Upper bound of the relative fall, and lower bound of the relative rise, over the horizon."""
    slope, error = _slopes(losses)
    level = float(losses[-3:].mean())
    if level <= 0:
        return 0.0, 0.0
    reach = _quantile(rule) * error
    return rule.horizon * (-slope + reach) / level, rule.horizon * (slope - reach) / level


def _quantile(rule: Rule) -> float:
    return float(stats.t.ppf(rule.confidence, rule.window - 2))


def _replace(verdict: Saturation, **changes: Any) -> Saturation:
    return Saturation(**{**asdict(verdict), **changes})
