"""The rows of a step are a function of the seed and the step."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from additive.train.batches import CHUNK_STEPS, BatchPlan

LENGTHS = st.lists(st.integers(1, 90), min_size=1, max_size=40).map(tuple)


def plan(domain=(5,) * 30, recall=(), share=0.0, batch=4, seed=0):
    return BatchPlan(tuple(domain), tuple(recall), share, batch, seed)


@settings(max_examples=60, deadline=None)
@given(
    LENGTHS, LENGTHS, st.sampled_from([0.0, 0.25, 0.3, 0.5]), st.integers(1, 9), st.integers(0, 50)
)
def test_any_step_can_be_asked_for_alone(domain, recall, share, batch, start):
    made = plan(domain, recall, share, batch)
    whole = list(made.steps(0, 60))
    assert len(whole) == 60
    assert list(made.steps(start, 60)) == whole[start:]
    assert list(made.steps(start, start + 1)) == whole[start : start + 1]


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 9), st.integers(0, 3))
def test_every_pass_has_every_row_once(domain, batch, seed):
    """Chunks of steps that are whole passes hold every row equally often."""
    count = len(domain)
    steps = list(plan(domain, batch=batch, seed=seed).steps(0, CHUNK_STEPS * count))
    seen = Counter(row for rows in steps for row in rows)
    assert set(seen.values()) == {CHUNK_STEPS * batch}
    assert set(seen) == set(range(count))


@settings(max_examples=60, deadline=None)
@given(LENGTHS, LENGTHS, st.floats(0, 0.9), st.integers(2, 32))
def test_batches_are_full_and_have_their_share_of_recall(domain, recall, share, batch):
    steps = list(plan(domain, recall, share, batch).steps(0, 10 * CHUNK_STEPS))
    recalled = [sum(row >= len(domain) for row in rows) for rows in steps]
    assert abs(sum(map(len, steps)) - 10 * CHUNK_STEPS * batch) == 0
    assert abs(sum(recalled) - 10 * CHUNK_STEPS * batch * share) <= 1
    assert max(recalled) - min(recalled) <= 2


def test_rows_of_a_batch_are_alike_in_length():
    domain = [n % 60 + 1 for n in range(600)]
    made = plan(domain, batch=16)
    steps = list(made.steps(0, 24))
    padded = sum(len(rows) * max(map(made.length, rows)) for rows in steps)
    filled = sum(made.length(row) for rows in steps for row in rows)
    assert filled / padded > 0.85
    assert all(list(rows) == sorted(rows, key=lambda r: (-made.length(r), r)) for rows in steps)


def test_short_and_long_batches_come_in_no_order():
    """Sorted batches would make the loss a function of the step."""
    domain = [n % 60 + 1 for n in range(600)]
    made = plan(domain, batch=16)
    longest = [made.length(rows[0]) for rows in made.steps(0, CHUNK_STEPS)]
    assert longest != sorted(longest)


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch": 5}, {"domain": (5,) * 31}])
def test_other_plans_see_other_rows(change):
    assert list(plan().steps(0, 6)) != list(plan(**change).steps(0, 6))


def test_recall_rows_are_numbered_after_the_domains():
    made = plan(domain=(5, 6), recall=(7, 8, 9), share=0.5)
    assert [made.length(row) for row in range(5)] == [5, 6, 7, 8, 9]
