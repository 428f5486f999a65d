"""No trivial baseline comes far: the suites ask for more than single words."""

from __future__ import annotations

import pytest

from .baselines import BASELINES, accuracy
from .conftest import DOMAINS, SUITES

BOUNDS = {"math": 0.50, "code": 0.50, "safety": 0.60}


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_trivial_baselines_stay_low(domain, suite, training, held_out):
    items = held_out[domain, suite]
    scores = {
        name: accuracy(domain, items, answer(domain, training[domain], items))
        for name, answer in BASELINES.items()
    }
    print(f"{domain} {suite}: " + ", ".join(f"{n} {100 * s:.1f} %" for n, s in scores.items()))
    assert max(scores.values()) <= BOUNDS[domain]
