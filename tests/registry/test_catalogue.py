"""What `additive list methods` says is what the methods say of themselves."""

from __future__ import annotations

import pytest

from additive.errors import UsageError
from additive.merge.methods import MERGEKIT, METHODS
from additive.merge.methods.catalogue import CATALOGUE, about

OURS = sorted(name for name in METHODS.builtins if "/" not in name)
CORE = sorted(name for name in METHODS.builtins if name.startswith("core/"))


def test_every_built_in_is_in_the_catalogue_and_nothing_else():
    assert sorted(CATALOGUE) == OURS


@pytest.mark.parametrize("name", [*OURS, *CORE])
def test_paper_and_needs_are_those_of_the_class(name):
    method, said = METHODS.get(name), about(name)
    assert said.paper == method.paper
    needs = (getattr(method, "needs_factors", False), getattr(method, "needs_grams", False))
    assert ("LoRA" in said.needs, "prompts" in said.needs) == needs


@pytest.mark.parametrize("name", MERGEKIT)
def test_mergekits_own_declarations_are_what_is_said_of_its_methods(name):
    """Its paper, and which numbers of sources and which weights a merge would be refused for."""
    from mergekit.merge_methods import get

    spec, said = get(name).spec, about(f"mergekit/{name}")
    url = spec.reference_url or ""
    cited = f"arXiv:{url.rpartition('/')[2]}" if "arxiv.org" in url else "mergekit's documentation"
    assert said.paper == cited
    method = METHODS.get(f"mergekit/{name}")()
    taken = [count for count in (1, 2, 3) if _takes(method, (1.0,) * count)]
    wanted = {"one source": [1], "two sources": [2], "two sources or more": [2, 3]}
    assert taken == wanted.get(said.needs.removesuffix(", no weights"), [1, 2, 3])
    assert _takes(method, (0.5,) * taken[0]) != said.needs.endswith("no weights")


def _takes(method, weights):
    try:
        method.check_weights(weights)
    except UsageError:
        return False
    return True


def test_others_are_described_too():
    assert about("mergekit/slerp").cost == "dense tensors of every source"
    assert about("of-a-plug-in").paper == "see its own page"
