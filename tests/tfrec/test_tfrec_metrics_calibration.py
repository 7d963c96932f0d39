"""Calibration against plain loops, and on predictions that are calibrated by construction."""

import math

import numpy as np
import pytest
import scipy.special
import sklearn.calibration
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.metrics import calibration_ratio, expected_calibration_error, reliability_bins

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.55, 0.999, 1.0]), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(1, 12))
def test_the_error_over_bins_of_equal_width_is_that_of_a_plain_loop(rows, bins):
    gap = total = 0.0
    for index in range(bins):
        mine = [row for row in rows if min(int(row[1] * bins), bins - 1) == index]
        weight = sum(w for _, _, w in mine)
        total += weight
        gap += abs(sum(w * y for y, _, w in mine) - sum(w * p for _, p, w in mine))
    labels, predicted, weights = (np.array(column) for column in zip(*rows, strict=True))
    found = expected_calibration_error(labels, predicted, weights, bins=bins)
    assert found == pytest.approx(gap / total, abs=1e-12) if total else math.isnan(found)


@pytest.mark.parametrize("ours", ["width", "mass"])
def test_bins_are_those_of_scikit_learn_on_distinct_predictions(ours):
    rng = np.random.default_rng(3)
    predicted = rng.random(1000) ** 2
    labels = rng.random(1000) < predicted
    strategy = {"width": "uniform", "mass": "quantile"}[ours]
    expected = sklearn.calibration.calibration_curve(labels, predicted, n_bins=8, strategy=strategy)
    found = reliability_bins(labels, predicted, bins=8, equal=ours)
    assert found.mean_label == pytest.approx(expected[0])
    assert found.mean_prediction == pytest.approx(expected[1])
    assert found.weight.sum() == 1000


def test_bins_of_equal_mass_keep_equal_predictions_together():
    labels, predicted = np.array([0, 1, 0, 1, 1, 1]), np.array([0.2, 0.2, 0.2, 0.2, 0.7, 0.9])
    found = reliability_bins(labels, predicted, bins=3, equal="mass")
    assert found.mean_prediction == pytest.approx([0.2, 0.8])
    assert found.weight.tolist() == [4, 2]


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_bins_do_not_depend_on_the_order_of_rows(rows, random):
    results = []
    for some in (rows, random.sample(rows, len(rows))):
        labels, predicted, _ = (np.array(column) for column in zip(*some, strict=True))
        results.append(reliability_bins(labels, predicted, bins=4, equal="mass"))
    assert results[0].mean_label == pytest.approx(results[1].mean_label)
    assert results[0].weight.tolist() == results[1].weight.tolist()


def test_calibrated_predictions_have_an_error_near_0_and_halved_ones_a_ratio_near_one_half():
    rng = np.random.default_rng(0)
    predicted = scipy.special.expit(rng.normal(-1, 1, 200_000))
    labels = rng.random(200_000) < predicted
    for equal in ("width", "mass"):
        assert expected_calibration_error(labels, predicted, equal=equal) < 0.01
        assert expected_calibration_error(labels, predicted / 2, equal=equal) == pytest.approx(
            predicted.mean() / 2, abs=0.005
        )
    assert calibration_ratio(labels, predicted) == pytest.approx(1, abs=0.02)
    assert calibration_ratio(labels, predicted / 2) == pytest.approx(0.5, abs=0.01)


def test_the_calibration_ratio_by_hand():
    assert calibration_ratio([1, 0, 0], [0.5, 0.2, 0.1]) == pytest.approx(0.8)
    assert calibration_ratio([1, 0, 0], [0.5, 0.2, 0.1], [2, 1, 0]) == pytest.approx(1.2 / 2)
    assert math.isnan(calibration_ratio([0, 0], [0.5, 0.2]))


def test_nothing_to_judge_is_nan_and_logits_are_refused():
    assert math.isnan(expected_calibration_error([], []))
    assert math.isnan(expected_calibration_error([], [], equal="mass"))
    with pytest.raises(ValueError, match=r"a probability is -2\.0; allowed: 0 to 1"):
        reliability_bins([0, 1], [0.5, -2.0])
    with pytest.raises(ValueError, match="a probability is nan"):
        reliability_bins([0, 1], [0.5, math.nan])
