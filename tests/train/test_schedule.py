"""Warm-up, constant, decay; and where a run ends."""

from __future__ import annotations

import pytest

from additive.spec.domain import SaturationSpec
from additive.train.outcome import best_step, ending
from additive.train.saturation import Evaluation, Saturation
from additive.train.schedule import evaluation_due, last_possible_step, phase, rate_factor
from additive.train.session import standing

SPEC = SaturationSpec(eval_steps=10, max_steps=100, decay_steps=20)


def verdict(outcome, step):
    return Saturation(outcome, step, 8, 0.9, 0.1)


def evaluation(step, score=0.5, items=20):
    right = round(score * items)
    return Evaluation(step, (1.0,) * right + (0.0,) * (items - right), (0.1,) * items)


def test_the_rate_rises_stays_and_falls_to_nearly_nothing():
    now = phase(50, verdict("saturated", 50), SPEC)
    assert [rate_factor(step, 4, now) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rate_factor(49, 4, now) == 1.0
    decay = [rate_factor(step, 4, now) for step in range(50, 70)]
    assert decay == [(20 - n) / 21 for n in range(20)]
    assert now.last_step == now.decay_end == 70


def test_without_warmup_the_first_step_is_whole():
    assert rate_factor(0, 0, phase(None, None, SPEC)) == 1.0


def test_the_budget_holds_the_tail():
    now = phase(70, None, SPEC)
    assert (now.decay_start, now.decay_end, now.last_step) == (80, 100, None)
    assert phase(80, None, SPEC).last_step == 100
    assert last_possible_step(SPEC) == 100


def test_a_verdict_that_would_break_the_budget_is_the_budgets_end():
    assert phase(90, verdict("saturated", 90), SPEC).verdict is None
    assert phase(80, verdict("saturated", 80), SPEC).decay_end == 100


def test_overfitting_ends_at_once():
    now = phase(60, verdict("overfitting", 60), SPEC)
    assert now.last_step == 60
    assert rate_factor(60, 0, now) == 1.0


def test_a_decay_longer_than_the_budget_is_the_whole_run():
    short = SPEC.model_copy(update={"max_steps": 10, "decay_steps": 50})
    now = phase(0, None, short)
    assert (now.decay_start, now.decay_end, now.last_step) == (0, 10, 10)


def test_beyond_the_plateau_the_rate_is_constant_again():
    now = phase(50, verdict("saturated", 50), SPEC, extend=1.5)
    assert now.last_step == 105
    assert rate_factor(70, 4, now) == 1.0
    assert last_possible_step(SPEC, 1.5) == 150


def test_evaluations_are_due_regularly_and_where_phases_end():
    now = phase(50, verdict("saturated", 50), SPEC.model_copy(update={"decay_steps": 15}))
    due = [step for step in range(66) if evaluation_due(step, SPEC, now)]
    assert due == [0, 10, 20, 30, 40, 50, 60, 65]


@pytest.mark.parametrize(
    ("found", "outcome", "plateau"),
    [
        (verdict("saturated", 50), "saturated", 70),
        (None, "budget", 100),
        (verdict("overfitting", 80), "overfitting", 40),
    ],
)
def test_the_plateau_is_the_end_of_the_decay_or_the_best_point(found, outcome, plateau):
    scores = {10: 0.2, 20: 0.4, 30: 0.8, 40: 0.8, 50: 0.8, 60: 0.4, 70: 0.2, 80: 0.2}
    made = [evaluation(0, 0.1), *(evaluation(s, v) for s, v in scores.items())]
    end = ending(made, phase(80, found, SPEC), (0.5, 1.0))
    assert (end.outcome, end.plateau) == (outcome, plateau)
    assert end.snapshots[0] == (0.5, plateau // 20 * 10)


def test_the_best_point_is_not_the_luckiest():
    scores = [0.2, 0.9, 0.2, 0.6, 0.65, 0.7, 0.65, 0.6, 0.3]
    made = [evaluation(10 * n, score) for n, score in enumerate(scores, start=1)]
    assert best_step(made) == 60
    assert best_step([evaluation(0), *made[:1]]) == 10
    assert best_step([evaluation(0)]) == 0


def test_the_best_point_can_be_kept_while_training_goes_on():
    """It is the one of before, or among the latest three; so three and the best are enough."""
    import random

    rng = random.Random(0)
    made, best = [], 0
    for step in range(10, 600, 10):
        made.append(evaluation(step, rng.random()))
        latest = {e.step for e in made[-3:]}
        assert best_step(made) in latest | {best}
        best = best_step(made)


def test_what_was_not_gained_is_said():
    flat = [evaluation(step, 0.5) for step in range(0, 110, 10)]
    end = ending(flat, phase(100, None, SPEC), (1.0,))
    assert any("no gain" in note for note in end.notes)
    assert any("budget" in note for note in end.notes)
    won = [evaluation(0, 0.1), *flat[1:]]
    assert not any("no gain" in note for note in ending(won, phase(100, None, SPEC), (1.0,)).notes)


@pytest.mark.parametrize(
    ("score", "gain", "said"),
    [
        (0.9, None, "too early to tell"),
        (0.9, 0.051, "may still gain 0.051"),
        (0.912, 17.96, "may still gain all that is left, 0.088"),
        (1.0, 0.2, "may still gain all that is left, 0.000"),
    ],
)
def test_no_more_is_said_to_be_gained_than_is_left(score, gain, said):
    going_on = phase(None, None, SaturationSpec())
    assert standing(Saturation(None, 80, 8, score, 0.02, gain=gain), going_on) == said
