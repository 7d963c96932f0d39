"""The listwise softmax against plain loops, and in extremes."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.losses import listwise_softmax


def softmax(values):
    exponents = [math.exp(value - max(values)) for value in values]
    return [value / sum(exponents) for value in exponents]


def loss_by_loops(scores, labels, listed, target):
    places = [j for j in range(len(scores)) if listed[j]]
    if not places:
        return 0.0
    labels = [labels[j] for j in places]
    if target == "softmax":
        wanted = softmax(labels)
    else:
        wanted = [label / sum(labels) for label in labels] if sum(labels) else [0.0] * len(labels)
    highest = max(scores[j] for j in places)
    log_sum = highest + math.log(math.fsum(math.exp(scores[j] - highest) for j in places))
    return math.fsum(p * (log_sum - scores[j]) for p, j in zip(wanted, places, strict=True))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 999), st.sampled_from(["softmax", "share"]), st.booleans())
def test_the_loss_is_the_loop_over_the_list(batch, n, seed, target, masked):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 5, (batch, n)).astype(np.float32)
    labels, listed = rng.integers(0, 5, (batch, n)), rng.random((batch, n)) < 0.6
    found = listwise_softmax(scores, labels, tf.constant(listed) if masked else None, target=target)
    listed = listed if masked else np.ones_like(listed)
    rows = zip(scores.tolist(), labels.tolist(), listed.tolist(), strict=True)
    np.testing.assert_allclose(found, [loss_by_loops(*row, target) for row in rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", ["softmax", "share"])
@pytest.mark.parametrize("kind", [tf.float32, tf.float16])
def test_huge_scores_and_labels_leave_losses_and_gradients_finite(target, kind):
    scores = tf.constant([[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4]], kind)
    listed = tf.constant([[True, True, False], [True, True, True]])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = listwise_softmax(scores, tf.constant([[0.0, 1e3, 7.0], [1.0, 1.0, 1.0]], kind), listed, target=target)
    np.testing.assert_allclose(loss, [2e4, 2e4 * 2 / 3], rtol=2e-3)
    gradient = tape.gradient(loss, scores).numpy()
    assert np.isfinite(gradient).all()
    assert gradient[0, 2] == 0  # padding moves nothing


def test_scores_of_a_short_type_that_lie_below_each_other_by_much_leave_the_padding_out():
    scores, listed = tf.constant([[-3e4, -2e4, 6e4]], tf.float16), tf.constant([[True, True, False]])
    found = listwise_softmax(scores, tf.constant([[1, 0, 70_000]]), listed, target="share")
    assert found.dtype == tf.float16
    np.testing.assert_allclose(found, [1e4], rtol=2e-3)


def test_a_list_of_ties_costs_log_n_and_a_list_of_one_nothing():
    found = listwise_softmax(tf.fill([2, 7], 3.0), tf.ones([2, 7]))
    np.testing.assert_allclose(found, [math.log(7)] * 2, rtol=1e-6)
    assert float(listwise_softmax(tf.constant([[5.0]]), tf.constant([[2.0]]))[0]) == 0.0


def test_a_list_of_padding_and_one_without_relevant_items_cost_nothing():
    scores, nothing = tf.constant([[1.0, 2.0]]), tf.zeros([1, 2])
    assert float(listwise_softmax(scores, nothing, tf.constant([[False, False]]))[0]) == 0.0
    assert float(listwise_softmax(scores, nothing, tf.constant([[False, False]]), target="share")[0]) == 0.0
    assert float(listwise_softmax(scores, nothing, target="share")[0]) == 0.0


def test_the_best_scores_are_the_labels_up_to_a_constant():
    """At the labels the gradient of the paper's loss is zero: the distributions are one."""
    labels = tf.constant([[0.0, 3.0, 1.0, 2.0]])
    scores = labels + 11.0
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = listwise_softmax(scores, labels)
    np.testing.assert_allclose(tape.gradient(loss, scores), np.zeros((1, 4)), atol=1e-6)
