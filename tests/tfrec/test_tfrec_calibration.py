"""Platt and isotonic calibration against scikit-learn, and what no calibration may do."""

import math

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tfrec.layers import calibration as module
from tfrec.layers.calibration import Isotonic, Platt, make_calibration

ROWS = st.lists(
    st.tuples(st.sampled_from([-2.5, -1.0, -0.25, 0.0, 0.5, 3.0, 7.0]), st.integers(0, 1), st.integers(0, 3)),
    min_size=1,
    max_size=40,
).filter(lambda rows: any(weight for *_, weight in rows))
KINDS = [Platt, Isotonic]


def fitted(kind, logits, labels, weights=None):
    found = kind()
    found.fit(np.asarray(logits, np.float32), np.asarray(labels, np.float32), weights)
    return found


def calibrated(calibration, logits):
    return calibration(tf.constant(np.asarray(logits, np.float32))).numpy()


def drawn(rows, seed=0):
    """Logits that promise too much: twice what is true, and more."""
    random = np.random.default_rng(seed)
    truth = random.normal(-1.5, 1, rows)
    return (2 * truth + 1).astype(np.float32), (random.random(rows) < scipy.special.expit(truth)).astype(np.float32)


def test_platts_line_is_the_logistic_regression_on_his_smoothed_targets():
    logits, labels = drawn(400)
    weights = np.random.default_rng(1).integers(0, 4, 400).astype(float)
    up, down = weights @ labels, weights @ (1 - labels)
    targets = np.where(labels == 1, (up + 1) / (up + 2), 1 / (down + 2))
    both = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.tile(logits, 2)[:, None],
        np.repeat([1, 0], 400),
        np.concatenate([weights * targets, weights * (1 - targets)]),
    )
    curve = fitted(Platt, logits, labels, weights).curve()
    assert curve["slope"] == pytest.approx([both.coef_[0, 0]], rel=1e-4)
    assert curve["intercept"] == pytest.approx([both.intercept_[0]], rel=1e-4)


def test_isotonic_probabilities_are_those_of_scikit_learn_at_the_rows_and_beyond():
    logits, labels = drawn(500)
    logits = np.round(logits, 1)
    weights = np.random.default_rng(2).random(500) + 0.1
    up, down = weights @ labels, weights @ (1 - labels)
    low, high = 1 / (down + 2), (up + 1) / (up + 2)
    oracle = IsotonicRegression(y_min=low, y_max=high, out_of_bounds="clip").fit(logits, labels, weights)
    found = fitted(Isotonic, logits, labels, weights)
    np.testing.assert_allclose(scipy.special.expit(calibrated(found, logits)), oracle.predict(logits), rtol=1e-4)
    ends = calibrated(found, [-100.0, 100.0])
    np.testing.assert_allclose(scipy.special.expit(ends), oracle.predict([-100.0, 100.0]), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(rows=ROWS)
def test_the_curve_never_falls_and_is_never_certain(kind, rows):
    logits, labels, weights = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    found = calibrated(fitted(kind, logits, labels, weights), np.linspace(-20, 20, 201))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    if kind is Isotonic:
        p = scipy.special.expit(found.astype(np.float64))
        assert p.min() >= 1 / (weights @ (1 - labels) + 2) - 1e-6
        assert p.max() <= (weights @ labels + 1) / (weights @ labels + 2) + 1e-6


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(rows=ROWS, random=st.randoms(use_true_random=False))
def test_a_row_of_weight_2_is_two_rows_in_any_order(kind, rows, random):
    twice = [(z, y) for z, y, w in rows for _ in range(w)]
    random.shuffle(twice)
    logits, labels, weights = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    one, other = fitted(kind, logits, labels, weights), fitted(kind, *zip(*twice, strict=True))
    at = np.linspace(-5, 9, 40)
    np.testing.assert_allclose(calibrated(one, at), calibrated(other, at), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_the_true_ones_of_a_world_that_is_known(kind):
    logits, _ = drawn(2000, seed=1)
    truth = scipy.special.expit((logits - 1) / 2)
    found = scipy.special.expit(calibrated(fitted(kind, *drawn(20_000)), logits))
    raw = scipy.special.expit(logits)
    assert np.abs(found - truth).mean() < 0.015 < 0.1 * np.abs(raw - truth).max()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_identity_before_it_is_fitted_and_its_state_is_all_of_it(kind):
    logits = np.float32([-3, 0.5, 2])
    fresh = kind()
    assert calibrated(fresh, logits).tolist() == logits.tolist()
    found = fitted(kind, *drawn(300))
    expected = calibrated(found, logits)
    assert expected.tolist() != logits.tolist()
    for target, source in zip(fresh.state, found.state, strict=True):
        target.assign(source)
    assert calibrated(fresh, logits).tolist() == expected.tolist()
    again = kind()
    again.restore(found.curve())
    assert calibrated(again, logits).tolist() == expected.tolist()


def test_platt_on_a_model_that_is_worse_than_chance_says_the_mean_and_turns_nothing_round():
    found = fitted(Platt, [1, 2, 3, 4], [1, 1, 0, 0]).curve()
    assert found == {"slope": [0.0], "intercept": [0.0]}


def test_one_class_or_one_score_gives_the_smoothed_rate():
    for kind in KINDS:
        assert calibrated(fitted(kind, [1, 2, 3], [0, 0, 0]), [0, 2, 9]) == pytest.approx(
            [math.log(0.2 / 0.8)] * 3, abs=1e-4
        )
    # Three of four at the targets of their class: (3 · 4/5 + 1/3) / 4.
    rate = (3 * 4 / 5 + 1 / 3) / 4
    assert calibrated(fitted(Platt, [1, 1, 1, 1], [1, 1, 0, 1]), [5]) == pytest.approx([math.log(rate / (1 - rate))])
    assert calibrated(fitted(Isotonic, [1, 1, 1, 1], [1, 1, 0, 1]), [5]) == pytest.approx([math.log(3)])


def test_more_blocks_than_knots_lose_some_between_and_keep_both_ends(monkeypatch):
    monkeypatch.setattr(module, "KNOTS", 6)
    logits = np.repeat(np.arange(12.0), 40)
    labels = np.concatenate([np.arange(40) < 3 * step + 1 for step in range(12)])
    found = fitted(Isotonic, logits, labels)
    knots = found.curve()
    assert len(knots["knots"]) == 6
    assert (knots["knots"][0], knots["knots"][-1]) == (0, 11)
    p = scipy.special.expit(calibrated(found, np.arange(12.0)))
    np.testing.assert_allclose(p, [(3 * step + 1) / 40 for step in range(12)], atol=0.04)


def test_rows_that_cannot_be_fitted_are_refused():
    for given_rows in (([], []), ([0.0], [2.0]), ([math.nan], [1.0])):
        with pytest.raises(ValueError, match="calibration needs at least one row"):
            fitted(Platt, *given_rows)
    assert make_calibration("none") is None
