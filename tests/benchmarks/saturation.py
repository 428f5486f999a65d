"""How early and how late rules stop, on simulated curves whose plateau is known.

    python -m tests.benchmarks.saturation [REPEATS]

Items have a difficulty and the model an ability that grows with training; an item is right when its
luck of the day allows it, and three tenths of the luck is drawn anew at every evaluation. All items
share a slowly wandering disturbance besides (the optimizer's noise). The answer's loss follows from
the same probabilities, with noise of its own.

    smooth    ability saturates, over 8 evaluations
    fast      the same over 3
    slow      the same over 16
    low       smooth, to a plateau at which most items are still wrong
    late      nearly nothing for 24 evaluations while the loss falls, then a jump
    overfit   saturates over 5, falls from evaluation 20 on; the loss rises from 12 on
    silent    nothing at all for 24 evaluations, not even in the loss, then a rise

No rule can see the last one coming; it is there to say so. A stop is false when the true score of
what the rule hands over is more than 2 points below the plateau. Regret is that difference; wasted
are the evaluations after the curve was within 1 point of its plateau.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from additive.spec.domain import SaturationSpec
from additive.train.outcome import best_step
from additive.train.saturation import Evaluation, bounds

LENGTH = 80
CURVES = ("fast", "smooth", "slow", "low", "late", "overfit", "silent")
ITEMS = (200, 1000)
RULE = SaturationSpec()


@dataclass(frozen=True)
class Simulated:
    """A curve: per evaluation and item right or wrong and its loss, and the true mean score."""

    right: np.ndarray
    losses: np.ndarray
    truth: np.ndarray


def ability(kind: str) -> np.ndarray:
    time = np.arange(1, LENGTH + 1)
    grown = {
        "fast": lambda: -3.0 + 6.5 * (1 - np.exp(-time / 3)),
        "smooth": lambda: -3.5 + 5.5 * (1 - np.exp(-time / 8)),
        "slow": lambda: -3.5 + 5.0 * (1 - np.exp(-time / 16)),
        "low": lambda: -3.5 + 2.5 * (1 - np.exp(-time / 8)),
        "late": lambda: -4.5 + 0.06 * np.minimum(time, 30) + 5.5 / (1 + np.exp((24 - time) / 1.5)),
        "overfit": lambda: -3.5 + 5 * (1 - np.exp(-time / 5)) - 0.03 * np.maximum(0, time - 20),
        "silent": lambda: np.where(time < 24, -4.0, -4.0 + 6 * (1 - np.exp(-(time - 23) / 4))),
    }
    return grown[kind]()


def simulate(kind: str, items: int, seed: int) -> Simulated:
    rng = np.random.default_rng([CURVES.index(kind), items, seed])
    difficulty, tokens = rng.normal(0, 1.7, items), rng.integers(6, 20, items)
    level = ability(kind)
    chance = _chance((level + _wandering(rng))[:, None], difficulty)
    again = rng.random((LENGTH, items)) < 0.3
    luck = np.where(again, rng.random((LENGTH, items)), rng.random(items))
    right = luck < chance
    loss = -np.log(chance)
    if kind == "overfit":
        surplus = np.maximum(0, np.arange(1, LENGTH + 1) - 12)[:, None] * 0.06
        loss = loss * (1 + surplus / 2) + surplus * 0.03 * (luck > chance) * tokens
    noise = np.exp(rng.normal(0, 0.05, loss.shape) + rng.normal(0, 0.01, (LENGTH, 1)))
    truth = _chance(level[:, None], difficulty).mean(axis=1)
    return Simulated(right.astype(float), loss / tokens * noise, truth)


def _chance(level: np.ndarray, difficulty: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(difficulty - level))


def _wandering(rng: np.random.Generator) -> np.ndarray:
    steps, now, path = rng.normal(0, 0.08, LENGTH), 0.0, []
    for step in steps:
        now = 0.5 * now + step
        path.append(now)
    return np.array(path)


@dataclass(frozen=True)
class Stop:
    """Where a rule stopped (evaluations, from 1), and which evaluation it hands over."""

    at: int
    handed: int
    outcome: str


def ours(curve: Simulated) -> Stop:
    for end in range(RULE.min_evals, LENGTH + 1):
        window = slice(end - max(RULE.window, end // 2), end)
        found = bounds(curve.right[window], curve.losses[window], RULE)
        outcome = found.outcome(RULE.min_gain)
        if outcome == "overfitting":
            means = curve.right[:end].mean(axis=1)
            seen = [Evaluation(n, (m,), (0.0,)) for n, m in enumerate(means, start=1)]
            return Stop(end, best_step(seen), outcome)
        if outcome is not None:
            return Stop(end, end, outcome)
    return Stop(LENGTH, LENGTH, "budget")


def patience(curve: Simulated) -> Stop:
    """Stop when the best score is 3 evaluations old; hand over the best."""
    scores = curve.right.mean(axis=1)
    return _patient(scores, scores)


def moving_average(curve: Simulated) -> Stop:
    """The same on the mean of the last 3 scores."""
    scores = curve.right.mean(axis=1)
    smooth = np.array([scores[max(0, n - 2) : n + 1].mean() for n in range(LENGTH)])
    return _patient(smooth, scores)


def _patient(watched: np.ndarray, scores: np.ndarray) -> Stop:
    for end in range(4, LENGTH + 1):
        if end - 1 - int(watched[:end].argmax()) >= 3:
            return Stop(end, int(scores[:end].argmax()) + 1, "stopped")
    return Stop(LENGTH, int(scores.argmax()) + 1, "budget")


RULES: dict[str, Callable[[Simulated], Stop]] = {
    "patience 3": patience,
    "3-point mean, patience 3": moving_average,
    "additive": ours,
}


@dataclass(frozen=True)
class Line:
    """One row of the table, over all repeats."""

    curve: str
    items: int
    rule: str
    stop: float
    false: float
    regret: float
    wasted: float
    outcomes: str


def measure(kind: str, items: int, repeats: int) -> list[Line]:
    curves = [simulate(kind, items, seed) for seed in range(repeats)]
    lines = []
    for name, rule in RULES.items():
        stops = [rule(curve) for curve in curves]
        pairs = list(zip(curves, stops, strict=True))
        regrets = np.array([100 * (c.truth.max() - c.truth[s.handed - 1]) for c, s in pairs])
        late = [
            max(0, s.at - 1 - int((c.truth >= c.truth.max() - 0.01).argmax())) for c, s in pairs
        ]
        counts = {o: sum(s.outcome == o for s in stops) for o in sorted({s.outcome for s in stops})}
        said = ", ".join(f"{outcome} {count / repeats:.0%}" for outcome, count in counts.items())
        stop = float(np.median([s.at for s in stops]))
        false = float((regrets > 2).mean())
        lines.append(
            Line(kind, items, name, stop, false, float(regrets.mean()), float(np.mean(late)), said)
        )
    return lines


def table(lines: list[Line]) -> str:
    """The lines as Markdown."""
    head = "| curve | items | rule | stop | false stops | regret | wasted | outcome |"
    rows = [
        f"| {x.curve} | {x.items} | {x.rule} | {x.stop:.0f} | {x.false:.1%} | {x.regret:.2f} |"
        f" {x.wasted:.1f} | {x.outcomes} |"
        for x in lines
    ]
    return "\n".join([head, "|" + " --- |" * 8, *rows])


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    lines = [line for kind in CURVES for items in ITEMS for line in measure(kind, items, repeats)]
    print(table(lines))


if __name__ == "__main__":
    main()
