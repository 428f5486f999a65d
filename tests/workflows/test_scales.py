"""The search for a scale: a pure walk over trials."""

from __future__ import annotations

import pytest

from additive.workflows.scales import COARSE, STEP, ScaleChoice, Trial, search


def peak_at(best: float, tried: list[float]):
    def attempt(scale: float) -> Trial:
        tried.append(scale)
        gap = abs(scale - best)
        return Trial(scale, {"math": 1 - gap}, {"math": gap}, -gap)

    return attempt


@pytest.mark.parametrize("best", [0.4, 0.5, 0.7, 0.9, 1.0, 1.2, 1.3])
def test_a_single_peak_is_found_to_one_step(best):
    assert abs(search(peak_at(best, [])).scale - best) < 1e-9


def test_each_scale_is_tried_once_and_kept_in_order():
    tried: list[float] = []
    choice = search(peak_at(0.9, tried))
    assert len(tried) == len(set(tried)) == len(COARSE) + 2
    assert [trial.scale for trial in choice.trials] == sorted(tried)
    assert {0.8 - STEP, 0.9} & {round(s, 2) for s in tried}


def test_the_worst_domain_decides_not_the_average():
    def attempt(scale: float) -> Trial:
        loud = scale >= 1.0
        scores = {"math": 1.0 if loud else 0.9, "code": 0.5 if loud else 0.85}
        return Trial(scale, scores, {"math": 0.1, "code": 0.1}, min(scores.values()) - 1.0)

    assert search(attempt).scale < 1.0


@pytest.mark.parametrize(("error", "chosen"), [(0.0, 0.6), (0.12, 0.8), (0.25, 1.0)])
def test_as_good_within_one_standard_error_is_the_scale_nearest_to_one(error, chosen):
    def attempt(scale: float) -> Trial:
        gap = abs(scale - 0.6) / 2
        return Trial(scale, {"math": 0.9 - gap}, {"math": gap}, -gap, error)

    assert search(attempt).scale == chosen


@pytest.mark.parametrize(("better", "chosen"), [(0.8, 0.8), (1.2, 1.2)])
def test_of_two_as_near_the_lower_loss(better, chosen):
    def attempt(scale: float) -> Trial:
        good = scale in (0.8, 1.2)
        return Trial(scale, {"math": 0.9}, {"math": abs(scale - better)}, -0.05 if good else -0.5)

    choice: ScaleChoice = search(attempt)
    assert choice.scale == chosen
