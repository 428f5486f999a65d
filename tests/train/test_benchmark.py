"""The simulation that docs/saturation.md shows, on a few curves: what it promises still holds."""

from __future__ import annotations

import pytest

from tests.benchmarks.saturation import measure


@pytest.mark.parametrize("kind", ["smooth", "late", "overfit"])
def test_false_stops_are_rare_where_patience_stops_early(kind):
    patience, average, ours = measure(kind, 200, 20)
    assert ours.false <= 0.05
    assert ours.regret < min(patience.regret, average.regret)
