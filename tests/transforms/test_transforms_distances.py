"""Distances between distributions, and how numbers are binned: against SciPy and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from transforms.compare.distances import (
    Cumulative,
    common_edges,
    jensen_shannon_divergence,
    linf_distance,
)
from transforms.steps.analyse import distribution

COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=30).filter(any)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_distances_agree_with_scipy_and_with_plain_loops(data):
    p = data.draw(COUNTS)
    q = data.draw(st.lists(st.integers(0, 1000), min_size=len(p), max_size=len(p)).filter(any))
    js = jensen_shannon_divergence(np.array(p), np.array(q))
    assert js == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)
    plain = max(abs(a / sum(p) - b / sum(q)) for a, b in zip(p, q, strict=True))
    assert linf_distance(np.array(p), np.array(q)) == pytest.approx(plain)


@settings(deadline=None)
@given(COUNTS, st.integers(1, 50))
def test_a_distribution_is_at_no_distance_from_its_multiple(p, times):
    many = np.array(p) * times
    assert jensen_shannon_divergence(np.array(p), many) == pytest.approx(0, abs=1e-12)
    assert linf_distance(np.array(p), many) == pytest.approx(0, abs=1e-12)


def test_distributions_without_a_common_value_are_one_bit_apart():
    assert jensen_shannon_divergence(np.array([3, 1, 0, 0]), np.array([0, 0, 5, 2])) == pytest.approx(1.0)


SAMPLES = st.lists(st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 2)), min_size=1, max_size=900)


@settings(max_examples=60, deadline=None)
@given(SAMPLES)
def test_the_distribution_in_the_statistics_is_exact_at_its_points_and_fine_between_them(sample):
    distinct, weights = np.unique(np.array(sample) + 0.0, return_counts=True)
    found = distribution(distinct, weights)
    assert len(found["values"]) <= 257
    assert sum(found["counts"]) == len(sample)
    up_to = 0
    below = -np.inf
    for value, count in zip(found["values"], found["counts"], strict=True):
        up_to += count
        assert up_to == sum(x <= value for x in sample)
        assert sum(below < x < value for x in sample) <= len(sample) / 256 + 1
        below = value


def test_a_distribution_of_many_values_is_thinned():
    rng = np.random.default_rng(1)
    distinct, weights = np.unique(rng.normal(size=5000), return_counts=True)
    found = distribution(distinct, weights)
    assert len(found["values"]) == 257
    assert (found["values"][0], found["values"][-1]) == (distinct[0], distinct[-1])


@settings(max_examples=60, deadline=None)
@given(SAMPLES, SAMPLES)
def test_numbers_are_binned_alike_on_both_sides_and_lose_nothing(one, other):
    sides = [Cumulative(*np.unique(np.array(side) + 0.0, return_counts=True)) for side in (one, other)]
    edges = common_edges(*sides)
    assert len(edges) <= 32
    for side, sample in zip(sides, (one, other), strict=True):
        plain = [
            sum(low < x <= high for x in sample) / len(sample)
            for low, high in zip([-np.inf, *edges], edges, strict=False)
        ]
        assert side.shares_between(edges) == pytest.approx(plain)
        assert sum(plain) == pytest.approx(1)
