"""What `additive list methods` says is what the methods say of themselves."""

from __future__ import annotations

import pytest

from additive.merge.methods import METHODS
from additive.merge.methods.catalogue import CATALOGUE, about

OURS = sorted(name for name in METHODS.builtins if "/" not in name)


def test_every_built_in_is_in_the_catalogue_and_nothing_else():
    assert sorted(CATALOGUE) == OURS


@pytest.mark.parametrize("name", OURS)
def test_paper_and_needs_are_those_of_the_class(name):
    method, said = METHODS.get(name), about(name)
    assert said.paper == method.paper
    needs = (getattr(method, "needs_factors", False), getattr(method, "needs_grams", False))
    assert ("LoRA" in said.needs, "prompts" in said.needs) == needs


def test_others_are_described_too():
    assert about("mergekit/slerp").cost == "dense tensors of every source"
    assert about("of-a-plug-in").paper == "see its own page"
