"""When a domain is saturated: a pure rule on its curve.

The question is not whether the last evaluations were better than the ones before (they are noisy)
but how much could still be gained. Two bounds answer it, each with the given confidence:

* on items: the slope of the validation score, times `horizon` evaluations, but never more than the
  share of items that are still wrong;
* on loss: the relative fall of the validation loss over the next `horizon` evaluations, times the
  share of items that are still wrong (what the falling loss could still turn into right answers).

Slopes are least squares over the latest evaluations, each item with itself (paired): over `window`
of them, and over half of all once that is more, so that a slow curve is looked at over a longer
stretch than a fast one. Their standard error is the larger of two: between items (would other items
say the same?) and around the line (would other evaluations?). Saturated means that both bounds are
below `min_gain`, after `min_evals` evaluations. Overfitting means that the items have nothing more
to gain while the loss surely rises, by a twentieth and more over the horizon.

`docs/saturation.md` compares the rule with patience and moving averages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

MATERIAL_RISE = 0.05


"""Relative rise of the loss over the horizon from which on it is called overfitting."""


_LATEST = 3  # evaluations that are averaged where the present level is needed


class SaturationRule(Protocol):
    """The keys of `saturation:` in domain.yaml that the rule reads (`spec.SaturationSpec`)."""

    @property
    def min_gain(self) -> float:
        """Gain that would still be worth it, as a fraction of the items (δ)."""
        ...

    @property
    def horizon(self) -> int:
        """Evaluations that the gain is projected over."""
        ...

    @property
    def window(self) -> int:
        """Fewest evaluations that a slope is fitted to."""
        ...

    @property
    def min_evals(self) -> int:
        """Evaluations before anything is declared."""
        ...

    @property
    def confidence(self) -> float:
        """Confidence of each one-sided bound."""
        ...


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
    `gain_items` and `gain_loss`. `rise` is the lower bound of the loss's relative rise. `window` is
    the number of evaluations that the slopes were fitted to.
    """

    outcome: str | None
    step: int
    evaluations: int
    score: float
    loss: float
    window: int | None = None
    gain: float | None = None
    gain_items: float | None = None
    gain_loss: float | None = None
    rise: float | None = None

    def record(self) -> dict[str, Any]:
        """The numbers as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Bounds:
    """The bounds over the horizon; see `Saturation` for what each one is."""

    window: int
    gain_items: float
    gain_loss: float
    rise: float

    def outcome(self, min_gain: float) -> str | None:
        """What they say, None while training should go on."""
        if self.gain_items >= min_gain:
            return None
        if self.rise > MATERIAL_RISE:
            return "overfitting"
        return "saturated" if self.gain_loss < min_gain else None


def judge(curve: Sequence[Evaluation], rule: SaturationRule) -> Saturation:
    """What the curve says at its last evaluation; `outcome` is None while training should go on.

    The base's own evaluation, at step 0, is not counted.

    Args: curve has the evaluations so far in the order of their steps, all of the same items.
    Outcomes: None, "saturated", "overfitting", "diverged" (a loss that is no finite number).
    """
    last = curve[-1]
    trained = [evaluation for evaluation in curve if evaluation.step > 0]
    plain = Saturation(None, last.step, len(trained), last.score, last.loss)
    if not math.isfinite(last.loss):
        return replace(plain, outcome="diverged")
    recent = trained[-_window(len(trained), rule) :]
    if len(trained) < max(rule.min_evals, rule.window):
        return plain
    correct = np.array([evaluation.correct for evaluation in recent])
    losses = np.array([evaluation.losses for evaluation in recent])
    found = bounds(correct, losses, rule)
    return replace(
        plain,
        outcome=found.outcome(rule.min_gain),
        window=found.window,
        gain=max(found.gain_items, found.gain_loss),
        gain_items=found.gain_items,
        gain_loss=found.gain_loss,
        rise=found.rise,
    )


def first_outcome(curve: Sequence[Evaluation], rule: SaturationRule) -> Saturation | None:
    """The verdict at the first evaluation where there is one, as training met it."""
    for end in range(1, len(curve) + 1):
        verdict = judge(curve[:end], rule)
        if verdict.outcome is not None:
            return verdict
    return None


def bounds(correct: np.ndarray, losses: np.ndarray, rule: SaturationRule) -> Bounds:
    """The bounds from the evaluations in the window.

    Shapes: both [evaluations, items]; scores in [0, 1], losses in nats per token.
    """
    window = len(correct)
    reach = _t_quantile(rule.confidence, window - 2)
    slope, error = _slope(correct)
    wrong = 1 - float(correct[-_LATEST:].mean())
    climb, loss_error = _slope(losses)
    level = max(float(losses[-_LATEST:].mean()), np.finfo(float).tiny)
    return Bounds(
        window,
        gain_items=min(rule.horizon * (slope + reach * error), wrong),
        gain_loss=wrong * rule.horizon * (-climb + reach * loss_error) / level,
        rise=rule.horizon * (climb - reach * loss_error) / level,
    )


def _window(evaluations: int, rule: SaturationRule) -> int:
    return max(rule.window, evaluations // 2)


def _slope(values: np.ndarray) -> tuple[float, float]:
    """Slope per evaluation of the mean over items, and its standard error.

    Shapes: values [evaluations, items].
    """
    window, items = values.shape
    time = np.arange(window) - (window - 1) / 2
    spread = float(time @ time)
    per_item = time @ values / spread
    slope, mean = float(per_item.mean()), values.mean(axis=1)
    residuals = mean - mean.mean() - slope * time
    around = math.sqrt(float(residuals @ residuals) / (window - 2) / spread)
    between = float(per_item.std(ddof=1)) / math.sqrt(items) if items > 1 else 0.0
    return slope, max(around, between)


@lru_cache(maxsize=256)
def _t_quantile(confidence: float, degrees: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(confidence, degrees))
