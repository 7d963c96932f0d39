"""Errors and rank correlations against scikit-learn and SciPy."""

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.errors import DataError
from tfrec.metrics import (
    kendall,
    kendall_by_group,
    mae_by_group,
    mean_absolute_error,
    rmse_by_group,
    root_mean_squared_error,
    spearman,
    spearman_by_group,
)

NUMBER = st.floats(-1e3, 1e3)
WEIGHTED = st.lists(st.tuples(NUMBER, NUMBER, st.integers(0, 3)), min_size=1, max_size=30)
TIED = st.lists(st.tuples(st.integers(1, 4), st.integers(-2, 2), st.integers(0, 3)), min_size=1, max_size=50)


def columns(rows):
    return [np.array(column) for column in zip(*rows, strict=True)]


@settings(max_examples=60, deadline=None)
@given(WEIGHTED)
def test_errors_of_values_are_those_of_scikit_learn(rows):
    labels, predicted, weights = columns(rows)
    for weight in (None, weights) if weights.sum() else (None,):
        assert root_mean_squared_error(labels, predicted, weight) == pytest.approx(
            sklearn.metrics.root_mean_squared_error(labels, predicted, sample_weight=weight)
        )
        assert mean_absolute_error(labels, predicted, weight) == pytest.approx(
            sklearn.metrics.mean_absolute_error(labels, predicted, sample_weight=weight)
        )


def test_errors_of_no_rows_are_nan():
    assert math.isnan(root_mean_squared_error([], []))
    assert math.isnan(mean_absolute_error([], []))
    assert math.isnan(rmse_by_group([], [], []).mean)


def test_errors_by_user_count_users_alike():
    # User a: errors 3 and 4; user b: error 1.
    labels, predicted, users = [3.0, 4.0, 1.0], [0.0, 0.0, 0.0], ["a", "a", "b"]
    rmse, mae = rmse_by_group(labels, predicted, users), mae_by_group(labels, predicted, users)
    assert rmse.values == pytest.approx([math.sqrt(12.5), 1.0])
    assert rmse.mean == pytest.approx((math.sqrt(12.5) + 1) / 2)
    assert mae.groups.tolist() == ["a", "b"]
    assert mae.mean == pytest.approx((3.5 + 1) / 2)


@pytest.mark.parametrize(("ours", "scipys"), [(spearman, scipy.stats.spearmanr), (kendall, scipy.stats.kendalltau)])
@settings(max_examples=150, deadline=None)
@given(rows=TIED)
def test_correlations_are_those_of_scipy_with_ties_and_nan_of_a_constant(ours, scipys, rows):
    labels, predicted, _ = columns(rows)
    found = ours(labels, predicted)
    if len(set(labels)) < 2 or len(set(predicted)) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(scipys(labels, predicted).statistic, abs=1e-12)


@pytest.mark.parametrize(
    ("ours", "scipys"), [(spearman_by_group, scipy.stats.spearmanr), (kendall_by_group, scipy.stats.kendalltau)]
)
@settings(max_examples=150, deadline=None)
@given(rows=TIED)
def test_correlations_within_users_are_those_of_scipy_one_user_at_a_time(ours, scipys, rows):
    labels, predicted, users = columns(rows)
    found = ours(labels, predicted, users)
    for user, value in zip(found.groups, found.values, strict=True):
        mine = users == user
        if len(set(labels[mine])) < 2 or len(set(predicted[mine])) < 2:
            assert math.isnan(value)
        else:
            assert value == pytest.approx(scipys(labels[mine], predicted[mine]).statistic, abs=1e-12)
    defined = found.values[~np.isnan(found.values)]
    assert found.left_out == len(found.values) - len(defined)
    assert found.mean == pytest.approx(defined.mean() if len(defined) else math.nan, nan_ok=True)


@pytest.mark.parametrize("seed", range(3))
def test_correlations_of_many_rows_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 6, 5000)
    predicted = labels + rng.normal(0, 2, 5000)
    assert kendall(labels, predicted) == pytest.approx(scipy.stats.kendalltau(labels, predicted).statistic, abs=1e-12)
    assert spearman(labels, predicted) == pytest.approx(scipy.stats.spearmanr(labels, predicted).statistic, abs=1e-12)


def test_a_hand_calculation_of_tau_b():
    # Pairs of (1, 1), (2, 3), (3, 2), (3, 3): 3 in order, 1 reversed, one tied in labels, one tied in predictions.
    assert kendall([1, 2, 3, 3], [1, 3, 2, 3]) == pytest.approx((3 - 1) / math.sqrt(5 * 5))


def test_correlations_of_no_rows_are_nan_and_nan_is_refused():
    assert math.isnan(kendall([], []))
    assert math.isnan(spearman([], []))
    with pytest.raises(DataError, match="predictions: 1 of 2 are NaN"):
        kendall([1, 2], [0.5, math.nan])
