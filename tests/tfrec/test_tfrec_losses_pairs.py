"""Losses of pairs and single scores against plain loops, and in extremes."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.losses import bpr, gbce, gbce_beta, hinge, logistic, squared, warp, weighted_logistic
from tfrec.losses.pairwise import harmonic_number

NUMBERS = st.floats(-30, 30, width=32)


def log_sigmoid(x):
    return -math.log1p(math.exp(-x)) if x > -30 else x - math.log1p(math.exp(x))


@st.composite
def rows(draw):
    """(positive [batch], negative [batch, n], is_negative [batch, n])."""
    batch, n = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    matrix = st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=batch, max_size=batch)
    masks = st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=batch, max_size=batch)
    positive = draw(st.lists(NUMBERS, min_size=batch, max_size=batch))
    return np.float32(positive), np.float32(draw(matrix)), np.array(draw(masks))


def mean_over_negatives(loss, positive, negative, mask):
    """loss(s+, s−) averaged by loops."""
    found = []
    for own, others, allowed in zip(positive.tolist(), negative.tolist(), mask, strict=True):
        values = [loss(own, other) for other, is_negative in zip(others, allowed, strict=True) if is_negative]
        found.append(sum(values) / len(values) if values else 0.0)
    return found


@settings(max_examples=40, deadline=None)
@given(rows(), st.booleans(), st.sampled_from([0.25, 1.0, 4.0]))
def test_bpr_and_hinge_are_the_loops_over_pairs(given_rows, masked, margin):
    positive, negative, mask = given_rows
    allowed = mask if masked else np.ones_like(mask)
    found = bpr(positive, negative, tf.constant(mask) if masked else None)
    expected = mean_over_negatives(lambda a, b: -log_sigmoid(a - b), positive, negative, allowed)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    found = hinge(positive, negative, tf.constant(mask) if masked else None, margin=margin)
    expected = mean_over_negatives(lambda a, b: max(0.0, margin - a + b), positive, negative, allowed)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def warp_by_trials(own, others, allowed, num_items, margin):
    """Weston's algorithm, a trial after the other."""
    trials = 0
    for other, is_negative in zip(others, allowed, strict=True):
        if not is_negative:
            continue
        trials += 1
        loss = margin - (own - other)
        if loss > 0:
            return sum(1 / k for k in range(1, (num_items - 1) // trials + 1)) * loss
    return 0.0


@settings(max_examples=50, deadline=None)
@given(rows(), st.sampled_from([2, 3, 10, 400]), st.sampled_from([0.5, 1.0, 8.0]), st.booleans())
def test_warp_is_the_loop_over_trials(given_rows, num_items, margin, masked):
    positive, negative, mask = given_rows
    found = warp(positive, negative, num_items, tf.constant(mask) if masked else None, margin=margin)
    allowed = mask if masked else np.ones_like(mask)
    parts = zip(positive, negative, allowed, strict=True)
    # In float32, as the code decides what violates the margin.
    expected = [warp_by_trials(own, others, ok, num_items, np.float32(margin)) for own, others, ok in parts]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_weight_of_warp_falls_with_the_trials_it_took():
    others = np.float32([[5, -9, -9, -9], [-9, 5, -9, -9], [-9, -9, -9, 5], [-9, -9, -9, -9]])
    found = warp(np.zeros(4, np.float32), others, 9)
    # Ranks 8 // 1, 8 // 2, 8 // 4: 1 + 1/2 + … up to there, times the margin of 1 and the lead of 5.
    expected = [6 * sum(1 / k for k in range(1, rank + 1)) for rank in (8, 4, 2)]
    np.testing.assert_allclose(found, [*expected, 0], rtol=1e-5)


def test_no_gradient_of_warp_goes_through_the_rank():
    positive, negative = tf.constant([0.0]), tf.constant([[-3.0, 0.5, 2.0]])
    with tf.GradientTape() as tape:
        tape.watch([positive, negative])
        loss = warp(positive, negative, 7)
    weight = 1 + 1 / 2 + 1 / 3  # rank 6 // 2
    by_positive, by_negative = tape.gradient(loss, [positive, negative])
    np.testing.assert_allclose(by_positive, [-weight], rtol=1e-5)
    np.testing.assert_allclose(by_negative, [[0, weight, 0]], rtol=1e-5)


def test_harmonic_numbers_are_the_sums():
    ranks = [0, 1, 2, 3, 10, 1000, 100_000]
    expected = [math.fsum(1 / k for k in range(1, rank + 1)) for rank in ranks]
    np.testing.assert_allclose(harmonic_number(tf.constant(ranks)), expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(NUMBERS, st.floats(0, 1, width=32), st.floats(0, 20, width=32)), min_size=1, max_size=6))
def test_losses_of_single_scores_are_their_formulas(values):
    scores, labels, confidences = (np.float32(column) for column in zip(*values, strict=True))
    expected = [(s - y) ** 2 for s, y in zip(scores.tolist(), labels.tolist(), strict=True)]
    np.testing.assert_allclose(squared(tf.constant(scores), labels), expected, rtol=1e-5, atol=1e-9)
    expected = [
        -y * log_sigmoid(s) - (1 - y) * log_sigmoid(-s) for s, y in zip(scores.tolist(), labels.tolist(), strict=True)
    ]
    np.testing.assert_allclose(logistic(tf.constant(scores), labels), expected, rtol=1e-4, atol=1e-6)
    # Johnson's likelihood: c times a yes, and once "not".
    expected = [
        -c * log_sigmoid(s) - log_sigmoid(-s) for s, c in zip(scores.tolist(), confidences.tolist(), strict=True)
    ]
    np.testing.assert_allclose(weighted_logistic(tf.constant(scores), confidences), expected, rtol=1e-4, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(rows(), st.sampled_from([0.0, 0.3, 1.0]), st.booleans())
def test_gbce_is_the_loop_with_the_power_on_the_positive(given_rows, beta, masked):
    positive, negative, mask = given_rows
    expected = []
    for own, others, allowed in zip(positive.tolist(), negative.tolist(), mask, strict=True):
        noes = sum(log_sigmoid(-other) for other, ok in zip(others, allowed, strict=True) if ok or not masked)
        expected.append(-(beta * log_sigmoid(own) + noes) / (len(others) + 1))
    found = gbce(positive, negative, beta, tf.constant(mask) if masked else None)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("negatives", "num_items", "t"), [(1, 3417, 0.75), (256, 1_000, 0.0), (5, 10, 1.0), (3, 4, 0.5)]
)
def test_beta_is_the_papers_expression(negatives, num_items, t):
    alpha = negatives / (num_items - 1)
    assert gbce_beta(negatives, num_items, t) == pytest.approx(alpha * (t * (1 - 1 / alpha) + 1 / alpha))


def test_beta_of_plain_cross_entropy_and_of_a_catalogue_of_one_item_is_1():
    assert gbce_beta(4, 1_000, 0.0) == 1.0
    assert gbce_beta(999, 1_000, 0.7) == 1.0
    assert gbce_beta(4, 1, 0.7) == 1.0


PAIRWISE = {
    "bpr": bpr,
    "hinge": hinge,
    "warp": lambda positive, negative, mask=None: warp(positive, negative, 50, mask),
    "gbce": lambda positive, negative, mask=None: gbce(positive, negative, 0.5, mask),
}


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("kind", [tf.float32, tf.float16, tf.float64])
def test_huge_scores_leave_losses_and_gradients_finite(name, kind):
    positive = tf.constant([1e4, -1e4, 1e4, 0.0], kind)
    negative = tf.constant([[-1e4, 1e4], [1e4, 1e4], [1e4, 1e4], [0.0, 0.0]], kind)
    with tf.GradientTape() as tape:
        tape.watch([positive, negative])
        loss = PAIRWISE[name](positive, negative)
    assert loss.dtype == kind
    # Two lines of 2e4 · Φ(49) are more than float16 holds; its own largest number is 65504.
    assert np.isfinite(loss.numpy()[[0, 2, 3]]).all()
    assert np.isfinite(loss.numpy()).all() or (kind == tf.float16 and name == "warp")
    assert all(np.isfinite(g).all() for g in tape.gradient(loss, [positive, negative]))


@pytest.mark.parametrize("name", PAIRWISE)
def test_huge_scores_of_what_is_no_negative_cost_and_move_nothing(name):
    negative = tf.constant([[3e38, 0.5, -3e38]])
    with tf.GradientTape() as tape:
        tape.watch(negative)
        loss = PAIRWISE[name](tf.zeros([1]), negative, tf.constant([[False, True, False]]))
    alone = PAIRWISE[name](tf.zeros([1]), tf.constant([[0.5]]))
    # gBCE divides by how many were drawn.
    assert float(loss[0]) == pytest.approx(float(alone[0]) / (2 if name == "gbce" else 1), rel=1e-6)
    assert tape.gradient(loss, negative).numpy()[0, [0, 2]].tolist() == [0, 0]


@pytest.mark.parametrize("loss", [logistic, weighted_logistic])
def test_huge_logits_of_yes_and_no_cost_their_size(loss):
    found = loss(tf.constant([1e4, -1e4, 1e4, -1e4]), tf.constant([1.0, 0.0, 0.0, 1.0]))
    expected = [0, 0, 1e4, 1e4] if loss is logistic else [1e4, 0, 1e4, 1e4]
    np.testing.assert_allclose(found, expected)


def test_squares_of_huge_errors_are_finite_and_of_none_zero():
    predictions = tf.constant([1e18, -1e18, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        found = squared(predictions, tf.constant([0, 0, 3]))
    np.testing.assert_allclose(found, [1e36, 1e36, 0], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(found, predictions), [2e18, -2e18, 0], rtol=1e-6)


def test_ties_cost_log_2_the_margin_and_the_weighted_margin():
    positive, negative = tf.zeros([3]), tf.zeros([3, 4])
    np.testing.assert_allclose(bpr(positive, negative), [math.log(2)] * 3, rtol=1e-6)
    np.testing.assert_allclose(hinge(positive, negative, margin=0.5), [0.5] * 3)
    np.testing.assert_allclose(warp(positive, negative, 4), [1 + 1 / 2 + 1 / 3] * 3, rtol=1e-5)
    np.testing.assert_allclose(gbce(positive, negative, 0.5), [(0.5 + 4) * math.log(2) / 5] * 3, rtol=1e-6)
    for label in (0, 0.25, 1):
        np.testing.assert_allclose(logistic(positive, [label] * 3), [math.log(2)] * 3, rtol=1e-6)


def test_a_catalogue_of_one_item_has_no_negative_and_costs_nothing():
    positive, negative, none = tf.constant([3.0]), tf.constant([[3.0]]), tf.constant([[False]])
    with tf.GradientTape() as tape:
        tape.watch(positive)
        losses = [bpr(positive, negative, none), hinge(positive, negative, none), warp(positive, negative, 1, none)]
    assert [float(loss[0]) for loss in losses] == [0, 0, 0]
    assert tape.gradient(losses, positive).numpy().tolist() == [0]
    assert float(warp(positive, negative, 1)[0]) == 0  # no rank but the first
    assert float(gbce(positive, negative, 1.0, none)[0]) == pytest.approx(math.log1p(math.exp(-3)) / 2, rel=1e-5)


@pytest.mark.parametrize("name", ["bpr", "hinge", "warp"])
def test_rows_for_which_nothing_was_drawn_cost_nothing(name):
    assert PAIRWISE[name](tf.zeros([2]), tf.zeros([2, 0])).numpy().tolist() == [0, 0]
