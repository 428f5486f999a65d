"""The rule on curves whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from additive.spec.domain import SaturationSpec
from additive.train.saturation import Evaluation, bounds, first_outcome, judge

RULE = SaturationSpec(min_gain=0.01, horizon=4, window=8, min_evals=8)
ITEMS = 400


def curve(scores, losses, seed=0, noise=0.0):
    """Evaluations whose mean score and loss follow the given values, each item with itself."""
    rng = np.random.default_rng(seed)
    luck, hardness = rng.random(ITEMS), rng.uniform(0.5, 1.5, ITEMS)
    made = []
    for number, (score, loss) in enumerate(zip(scores, losses, strict=True), start=1):
        jitter = rng.normal(0, noise, ITEMS)
        correct = tuple(float(value) for value in (luck + jitter < score))
        made.append(Evaluation(10 * number, correct, tuple(map(float, loss * hardness))))
    return made


def flat(count=20, score=0.8, loss=0.3, **options):
    return curve([score] * count, [loss] * count, **options)


def test_a_rising_curve_is_not_saturated():
    assert judge(curve(np.linspace(0.1, 0.6, 12), [0.3] * 12), RULE).outcome is None


def test_a_flat_curve_is_saturated_as_soon_as_it_may_be():
    assert judge(flat(7), RULE).outcome is None
    assert judge(flat(7), RULE).gain is None
    assert judge(flat(8), RULE).outcome == "saturated"
    assert first_outcome(flat(30), RULE).evaluations == 8


def test_flat_scores_with_a_falling_loss_go_on():
    """What looks like a plateau may be the silence before a jump: the loss says so."""
    falling = curve([0.1] * 12, np.linspace(3.0, 1.5, 12))
    verdict = judge(falling, RULE)
    assert verdict.outcome is None
    assert verdict.gain_items < RULE.min_gain < verdict.gain_loss


def test_a_loss_that_can_no_longer_help_does_not_hold_training_up():
    """With 1 in 400 items wrong a loss that still halves has nothing to turn right."""
    done = curve([0.9975] * 12, np.geomspace(0.01, 0.005, 12))
    assert judge(done, RULE).outcome == "saturated"


def test_a_rising_loss_with_nothing_to_gain_is_overfitting():
    verdict = judge(curve([0.8] * 12, np.linspace(0.3, 0.6, 12)), RULE)
    assert verdict.outcome == "overfitting"
    assert verdict.rise > 0.05


def test_a_rising_loss_while_items_are_won_goes_on():
    both = curve(np.linspace(0.3, 0.8, 12), np.linspace(0.3, 0.6, 12))
    assert judge(both, RULE).outcome is None


def test_a_slightly_rising_loss_is_no_overfitting():
    assert judge(curve([0.8] * 12, np.linspace(0.3, 0.303, 12)), RULE).outcome == "saturated"


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_divergence(loss):
    broken = Evaluation(30, (1.0,) * ITEMS, (loss,) * ITEMS)
    assert judge([*flat(2), broken], RULE).outcome == "diverged"


def test_the_bases_own_evaluation_does_not_count():
    base = Evaluation(0, (0.0,) * ITEMS, (5.0,) * ITEMS)
    assert judge([base, *flat(7)], RULE).evaluations == 7
    assert judge([base, *flat(8)], RULE).outcome == "saturated"


def test_a_slow_curve_is_looked_at_over_half_of_it():
    assert judge(flat(8), RULE).window == 8
    assert judge(flat(40), RULE).window == 20


def test_more_items_say_sooner_what_is_saturated():
    few = curve([0.8] * 12, [0.3] * 12, noise=0.3)
    many = [Evaluation(e.step, e.correct * 8, e.losses * 8) for e in few]
    assert judge(many, RULE).gain_items <= judge(few, RULE).gain_items


def test_a_verdict_is_the_first_of_the_curve():
    late = [*flat(20), *curve(np.linspace(0.8, 1, 12), [0.3] * 12)]
    steps = [Evaluation(10 * n, e.correct, e.losses) for n, e in enumerate(late, start=1)]
    assert first_outcome(steps, RULE).step == 80
    assert first_outcome(steps[:7], RULE) is None


def test_a_perfect_curve_is_saturated():
    assert judge(curve([1.1] * 8, [1e-30] * 8), RULE).outcome == "saturated"
    assert judge(curve([1.1] * 8, [0.0] * 8), RULE).outcome == "saturated"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1), st.integers(8, 20))
def test_the_order_of_items_does_not_matter(seed, score, count):
    made = curve([score] * count, [0.3] * count, seed=seed, noise=0.2)
    order = np.random.default_rng(seed).permutation(ITEMS)
    mixed = [
        Evaluation(e.step, tuple(np.array(e.correct)[order]), tuple(np.array(e.losses)[order]))
        for e in made
    ]
    assert judge(mixed, RULE).gain == pytest.approx(judge(made, RULE).gain, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 20), st.integers(2, 30))
def test_slopes_are_those_of_least_squares(seed, evaluations, items):
    rng = np.random.default_rng(seed)
    correct = rng.random((evaluations, items))
    losses = np.ones_like(correct)
    rule = SaturationSpec(window=3, min_evals=3, horizon=1, confidence=0.5 + 1e-12)
    slope = np.polyfit(np.arange(evaluations), correct.mean(axis=1), 1)[0]
    wrong = 1 - correct[-3:].mean()
    assert bounds(correct, losses, rule).gain_items == pytest.approx(min(slope, wrong), abs=1e-6)


def test_a_higher_confidence_asks_for_more():
    noisy = curve([0.8] * 12, [0.3] * 12, noise=0.2)
    bolder = RULE.model_copy(update={"confidence": 0.6})
    assert judge(noisy, bolder).gain < judge(noisy, RULE).gain


def test_the_record_is_plain_numbers():
    import json

    assert json.loads(json.dumps(judge(flat(), RULE).record()))["outcome"] == "saturated"
