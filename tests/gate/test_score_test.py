"""Tango's score test: published vectors, a numeric likelihood as oracle, the interval."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from additive.errors import UsageError
from additive.gate import score_interval, tango


def test_vectors():
    assert tango(112, 62, 1319, 0.03) == pytest.approx(-0.798278, abs=1e-6)
    assert tango(7, 1, 200, 0.02) == pytest.approx(-0.768059, abs=1e-6)
    assert tango(3, 3, 500, 0.02) == pytest.approx(2.754217, abs=1e-6)
    p = 0.5 * math.erfc(tango(0, 0, 200, 0.02) / math.sqrt(2))
    assert p == pytest.approx(0.0217, abs=5e-5)


def test_the_published_interval():
    low, high = score_interval(20, 40, 160, level=0.95)
    assert (low, high) == (pytest.approx(0.030865, abs=1e-6), pytest.approx(0.218064, abs=1e-6))


def test_tango_is_a_function_under_its_dotted_path():
    assert callable(importlib.import_module("additive.gate").tango)
    import additive

    assert additive.tango(3, 3, 500, 0.02) == tango(3, 3, 500, 0.02)


def restricted_z(b10, b01, n, low):
    """z with the restricted likelihood maximised numerically instead of in closed form."""

    def minus_likelihood(p10):
        p01 = p10 + low
        rest = 1 - p10 - p01
        if min(p10, p01, rest) < 0:
            return math.inf
        terms = ((b10, p10), (b01, p01), (n - b10 - b01, rest))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

    bounds = (max(0.0, -low), (1 - low) / 2)
    p10 = minimize_scalar(minus_likelihood, bounds=bounds, method="bounded",
                          options={"xatol": 1e-12}).x  # fmt: skip
    variance = n * (2 * p10 + low - low**2)
    return (b01 - b10 - n * low) / math.sqrt(variance)


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("counts", [(5, 3, 100), (30, 10, 100), (1, 12, 50), (112, 62, 1319)])
def test_the_closed_form_is_the_restricted_likelihood(counts, margin):
    expected = restricted_z(*counts, -margin)
    assert tango(*counts, margin) == pytest.approx(expected, abs=1e-4)


@st.composite
def counts(draw):
    n = draw(st.integers(1, 400))
    b10 = draw(st.integers(0, n))
    return b10, draw(st.integers(0, n - b10)), n


@given(counts(), st.sampled_from([0.8, 0.9, 0.95]))
@settings(max_examples=150, deadline=None)
def test_the_interval_inverts_the_test(count, level):
    b10, b01, n = count
    low, high = score_interval(b10, b01, n, level)
    assert -1 <= low <= (b01 - b10) / n <= high <= 1
    bound = -np.sqrt(2) * _erfinv(-level)
    if low > -0.999 and low < 0:
        assert tango(b10, b01, n, -low) == pytest.approx(bound, abs=1e-4)
    if high < 0.999 and high > 0:  # the same test with the roles exchanged
        assert tango(b01, b10, n, high) == pytest.approx(bound, abs=1e-4)


def _erfinv(x):
    from scipy.special import erfinv

    return erfinv(x)


@given(counts())
@settings(max_examples=100, deadline=None)
def test_exchanging_the_models_mirrors_the_interval(count):
    b10, b01, n = count
    low, high = score_interval(b10, b01, n)
    assert score_interval(b01, b10, n) == (-high, -low)


@pytest.mark.parametrize("bad", [(-1, 0, 10), (6, 5, 10), (0, 0, 0), (0, -1, 4)])
def test_counts_that_do_not_fit_are_refused(bad):
    with pytest.raises(UsageError, match="counts are"):
        tango(*bad, 0.02)
    with pytest.raises(UsageError, match="counts are"):
        score_interval(*bad)


@pytest.mark.parametrize("margin", [-0.01, 1.0, 2, math.nan])
def test_a_margin_is_a_fraction(margin):
    with pytest.raises(UsageError, match="margin is"):
        tango(1, 1, 10, margin)
