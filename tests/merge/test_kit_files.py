"""mergekit files as they are found: random ones give mergekit's result, mistakes are named."""

from __future__ import annotations

import pytest

from additive.errors import AdditiveError, SpecError
from tests.merge.conformance import by_mergekit, by_ours, distance, make_zoo, planned
from tests.merge.random_kits import random_kit

CLOSE = 1e-5
SEEDS = range(24)
REFUSALS = (KeyError, RuntimeError, ValueError)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return make_zoo(tmp_path_factory.mktemp("zoo"))


def test_random_files_are_mergekits_result_or_are_refused(zoo, tmp_path):
    """What mergekit refuses is refused here; beyond it only a head that would lack models."""
    places = zoo.places
    lora = f"{places['base']}+{places['lora']}"
    models = [str(places["a"]), str(places["b"]), lora, str(places["base"])]
    merged = 0
    for seed in SEEDS:
        text = random_kit(seed, models, str(places["base"]))
        try:
            ours = by_ours(zoo, text, tmp_path / f"o{seed}")
        except AdditiveError as error:
            if "the first slice has" not in str(error):
                with pytest.raises(REFUSALS):
                    by_mergekit(zoo, text, tmp_path / f"m{seed}")
            continue
        assert distance(ours, by_mergekit(zoo, text, tmp_path / f"m{seed}")) <= CLOSE, text
        merged += 1
    assert merged > len(SEEDS) / 3


def test_empty_parameters_say_nothing(zoo):
    """As in the wild, where the lines of a base's parameters are comments."""
    text = "merge_method: ties\nbase_model: {base}\nmodels:\n  - model: {base}\n    parameters:\n"
    text += "  - model: {a}\n    parameters: {{weight: 1}}\nparameters:\n"
    whole = "merge_method: ties\nbase_model: {base}\nmodels:\n  - model: {base}\n"
    whole += "  - model: {a}\n    parameters: {{weight: 1}}\n"
    assert planned(zoo, zoo.text(text)).values == planned(zoo, zoo.text(whole)).values


NOT_FINITE = ".nan", "[1, .inf]", "'nan'", "[{{filter: mlp, value: -.inf}}, {{value: 1}}]", "1e400"


@pytest.mark.parametrize("said", NOT_FINITE)
def test_numbers_that_are_not_finite_are_refused_at_their_place(zoo, said):
    text = f"merge_method: linear\nmodels: [{{{{model: {{a}}}}}}]\nparameters:\n  weight: {said}"
    with pytest.raises(SpecError, match=r"merge.yaml:4:11: weight is .* a finite number"):
        planned(zoo, zoo.text(text))


@pytest.mark.parametrize("said", ["3", "[1]", "text"])
def test_parameters_that_are_no_mapping_are_refused_at_their_place(zoo, said):
    text = f"merge_method: linear\nparameters: {said}\nmodels: [{{{{model: {{a}}}}}}]"
    with pytest.raises(SpecError, match=r"merge.yaml:2:13: parameters is .*; expected a mapping"):
        planned(zoo, zoo.text(text))


def test_a_last_slice_of_more_models_than_the_first_is_refused(zoo):
    """mergekit would take as many of them for the norm and the head as the first slice has."""
    text = """merge_method: linear
slices:
  - sources: [{{model: {a}, layer_range: [0, 2]}}]
  - sources: [{{model: {a}, layer_range: [2, 4]}}, {{model: {b}, layer_range: [2, 4]}}]
parameters: {{weight: 0.5}}"""
    with pytest.raises(
        SpecError, match=r"merge.yaml:4:14: sources of the last slice are 2; the first"
    ):
        planned(zoo, zoo.text(text))
