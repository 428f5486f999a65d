"""How a run ended: the plateau, and the evaluations nearest to fractions of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from additive.train.saturation import Evaluation
from additive.train.schedule import Phase

_NEIGHBOURS = 2


NOT_BETTER = "no gain on validation over the base is certain; there is nothing to retain in a merge"


@dataclass(frozen=True)
class Ending:
    """The outcome, the plateau step, and the evaluated step nearest to each wanted fraction."""

    outcome: str
    plateau: int
    snapshots: tuple[tuple[float, int], ...]
    notes: tuple[str, ...]


def ending(curve: Sequence[Evaluation], now: Phase, fractions: Sequence[float]) -> Ending:
    """The ending of a finished run, from its curve alone.

    The plateau is the end of the decay; after overfitting it is the best evaluation before.
    """
    verdict = now.verdict
    outcome = "budget" if verdict is None or verdict.outcome is None else verdict.outcome
    plateau = best_step(curve) if outcome == "overfitting" else now.decay_end
    trained = [evaluation.step for evaluation in curve if evaluation.step > 0]
    nearest = tuple((fraction, _nearest(trained, fraction * plateau)) for fraction in fractions)
    return Ending(outcome, plateau, nearest, _notes(curve, outcome, plateau))


def best_step(curve: Sequence[Evaluation]) -> int:
    """The step of the best evaluation: the highest mean score of it and its neighbours.

    One evaluation is noisy, and the best of many is the luckiest; the mean over two neighbours on
    each side is not. The first of equals wins; the base's own evaluation does not count.
    """
    trained = [evaluation for evaluation in curve if evaluation.step > 0]
    if not trained:
        return 0
    reach = min(_NEIGHBOURS, (len(trained) - 1) // 2)
    centres = range(reach, len(trained) - reach)
    means = {c: sum(e.score for e in trained[c - reach : c + reach + 1]) for c in centres}
    return trained[max(centres, key=lambda c: (means[c], -c))].step


def _nearest(steps: Sequence[int], wanted: float) -> int:
    return min(steps, key=lambda step: (abs(step - wanted), step))


def _notes(curve: Sequence[Evaluation], outcome: str, plateau: int) -> tuple[str, ...]:
    notes = []
    if outcome == "budget":
        notes.append("the budget of steps ended training before it was saturated")
    if outcome == "overfitting":
        notes.append(f"validation loss was rising; the plateau is the best evaluation, {plateau}")
    by_step = {evaluation.step: evaluation for evaluation in curve}
    if 0 in by_step and plateau in by_step and not _surely_better(by_step[0], by_step[plateau]):
        notes.append(NOT_BETTER)
    return tuple(notes)


def _surely_better(base: Evaluation, plateau: Evaluation) -> bool:
    """Whether the lower end of the paired two-sided 90 % interval of the gain is above 0."""
    import numpy as np

    gains = np.array(plateau.correct) - np.array(base.correct)
    error = float(gains.std(ddof=1)) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    return float(gains.mean()) - 1.645 * error > 0
