"""The search for a scale: a pure walk over trials, and what a trial is."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction

import pytest

from additive.merge.plan import open_checked, plan_sources
from additive.models.loading import load_model, load_tokenizer
from additive.train.data import TrainingRow
from additive.train.validation import completion_score
from additive.verbs.ask import ask_models
from additive.verbs.merge import build_merge, build_recipe
from additive.verbs.merge_request import request_merge
from additive.verbs.scale import COARSE, STEP, ScaleChoice, Trial, choose_scale, search
from additive.workspace.inputs import base_identity
from tests.deltas import tiny
from tests.verbs.adopting import adopt_into
from tests.verbs.making import HALF, PLATEAU, make_adapters, score_of, system_of


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


def test_the_standard_error_is_that_of_the_best_scale():
    """One that is uncertain itself is not for that as good as the best."""

    def attempt(scale: float) -> Trial:
        gap = abs(scale - 0.6) / 2
        error = 0.05 if scale == 0.6 else 1.0
        return Trial(scale, {"math": 0.9 - gap}, {"math": gap}, -gap, error)

    assert search(attempt).scale == 0.7


@pytest.mark.parametrize(("better", "chosen"), [(0.8, 0.8), (1.2, 1.2)])
def test_of_two_as_near_the_lower_loss(better, chosen):
    def attempt(scale: float) -> Trial:
        good = scale in (0.8, 1.2)
        return Trial(scale, {"math": 0.9}, {"math": abs(scale - better)}, -0.05 if good else -0.5)

    choice: ScaleChoice = search(attempt)
    assert choice.scale == chosen


ROWS = {
    "math": [{"prompt": f"{n}+1=", "completion": str(n + 1)} for n in range(5)],
    "code": [{"prompt": f"upper('a{n}')", "completion": f"'A{n}'"} for n in range(3)],
}


def _choose(workspace, request):
    recipe = build_recipe(workspace, request)
    with closing(open_checked(recipe, workspace.base_directory(), request.base)) as sources:
        return choose_scale(workspace, request, plan_sources(recipe, sources), sources)


@pytest.mark.parametrize("name", ["math", "math#0.5"])
def test_a_trial_is_the_merge_at_that_scale_beside_what_its_specialists_scored(
    tmp_path, bases, name
):
    workspace = make_adapters(tmp_path / "work", bases(), ROWS)
    base, tokenizer = base_identity(workspace), load_tokenizer(bases())
    request = request_merge(workspace, [name, "code"], {}, base)
    choice = _choose(workspace, request)
    step = HALF if "#" in name else PLATEAU
    reference = {"math": score_of(1, step), "code": score_of(2, PLATEAU)}
    for trial in (choice.trials[0], choice.trials[-1]):
        fixed = request_merge(workspace, [name, "code"], {"scale": trial.scale}, base)
        model = load_model(build_merge(workspace, fixed).artifact.path)
        found = {}
        for domain, rows in ROWS.items():
            given = [TrainingRow(row["prompt"], row["completion"]) for row in rows]
            found[domain] = completion_score(tokenizer, given, system=system_of(domain))(model, 0)
        assert trial.scores == {domain: f.score for domain, f in found.items()}
        assert trial.losses == pytest.approx({domain: f.loss for domain, f in found.items()})
        change = {domain: f.score - reference[domain] for domain, f in found.items()}
        worst = min(change, key=change.__getitem__)
        assert trial.worst == pytest.approx(change[worst])
        right, asked = sum(found[worst].correct), len(ROWS[worst])
        share = Fraction(int(right) + 1, asked + 2)
        assert trial.error**2 == pytest.approx(float(share * (1 - share) / asked))


def test_a_scale_is_chosen_where_the_rows_for_tokens_differ(tmp_path, bases):
    """The base is given the rows of the embedding that an adopted adapter saved whole."""
    workspace = make_adapters(tmp_path / "work", bases(), {"math": ROWS["math"]})
    tokenizer = load_tokenizer(bases())
    rows = len(tokenizer) + 11
    folder, _ = tiny.save_resized(tmp_path / "wide", bases(), rows, ["embed_tokens", "lm_head"])
    adopt_into(workspace, folder, "wide", accept=frozenset({"vocabulary"}))
    (said,) = ask_models(workspace, ["wide"], "3+1=", max_tokens=3)
    assert said.name.startswith("wide@")
    names, base = ["math", "wide"], base_identity(workspace)
    wanted = {"vocabulary": "extend", "method": "task_arithmetic"}
    trial = _choose(workspace, request_merge(workspace, names, wanted, base)).trials[0]
    fixed = request_merge(workspace, names, {**wanted, "scale": trial.scale}, base)
    model = load_model(build_merge(workspace, fixed).artifact.path)
    assert model.config.vocab_size == rows
    given = [TrainingRow(row["prompt"], row["completion"]) for row in ROWS["math"]]
    found = completion_score(tokenizer, given, system=system_of("math"))(model, 0)
    assert trial.losses == pytest.approx({"math": found.loss})
