"""The full softmax without what each step has seen: against loops over steps and items, and numeric gradients."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrec.losses import full_softmax as module
from tfrec.losses.full_softmax import full_softmax
from tfrec.losses.seen_items import LEFT_OUT, SeenItems, counted, scattered

ITEMS, DIM = 9, 4
# Two windows of six steps, the second with padding; −1 has no place in the catalogue. Items come again within a
# segment, in the other one, and as what is asked next.
SEEN = np.array([[0, 3, 3, 5, 0, 1], [2, -1, 4, 4, 0, 0]])
PLACES = np.array([[0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 0, 0]], np.int32)
STARTS = np.array([[0, 0, 0, 3, 3, 3], [0, 0, 0, 0, 4, 5]])
TARGETS = np.array([[3, 3, 6, 0, 1, 5], [7, 4, 4, 8, 0, 0]])
WEIGHTS = np.array([[0.5, 1, 2, 0, 1, 1], [1, 1, 0.25, 1, 0, 0]], np.float32)


def drawn(seed=1):
    random = np.random.default_rng(seed)
    return [random.normal(size=size).astype(np.float32) for size in ((SEEN.size, DIM), (ITEMS, DIM), (ITEMS,))]


def by_hand(queries, items, biases):
    total = 0.0
    for row in range(SEEN.size):
        window, column = divmod(row, SEEN.shape[1])
        past = set(SEEN[window, STARTS[window, column] : column + 1])
        target = TARGETS[window, column]
        logits = [float(queries[row] @ items[j]) + biases[j] for j in range(ITEMS)]
        among = [logit for j, logit in enumerate(logits) if j == target or j not in past]
        total += WEIGHTS[window, column] * (math.log(sum(map(math.exp, among))) - logits[target])
    return total


def found(tensors, kind=tf.float32):
    seen = SeenItems.of_windows(tf.constant(SEEN), tf.constant(PLACES), ITEMS)
    flat = tf.constant(TARGETS.ravel()), tf.constant(WEIGHTS.ravel())
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = full_softmax(*tensors, *flat, kind, seen)
    return loss, tape.gradient(loss, tensors)


@pytest.mark.parametrize(("chunk", "has_gpu"), [(1, False), (4, False), (5, False), (6, True), (100, False)])
def test_loss_and_gradients_are_those_of_plain_loops(monkeypatch, chunk, has_gpu):
    """Chunks end within windows and within segments."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"] * has_gpu)
    monkeypatch.setattr(module, "CHUNK_ROWS", chunk)
    values = drawn()
    loss, gradients = found([tf.constant(value) for value in values])
    assert float(loss) == pytest.approx(by_hand(*values), rel=1e-5)
    exact = [value.astype(float) for value in values]
    for number, gradient in enumerate(gradients):
        numeric = np.zeros_like(exact[number])
        for place in np.ndindex(numeric.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [value.copy() for value in exact]
                moved[number][place] += step
                ends.append(by_hand(*moved))
            numeric[place] = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(gradient, numeric, rtol=1e-3, atol=1e-5)


def test_what_is_left_out_neither_learns_nor_counts():
    """However high its logit is."""
    values = drawn()
    values[2][[0, 3]] = 300.0  # in the past of steps that are asked for something else
    loss, (_, _, by_bias) = found([tf.constant(value) for value in values])
    assert float(loss) == pytest.approx(by_hand(*[value.astype(float) for value in values]), rel=1e-5)
    assert np.isfinite(by_bias).all()


def test_in_half_the_bits_loss_and_gradients_stay_near():
    tensors = [tf.constant(value / 2) for value in drawn()]
    (loss, gradients), (near, narrow) = found(tensors), found(tensors, tf.bfloat16)
    assert float(near) == pytest.approx(float(loss), rel=0.02)
    for expected, gradient in zip(gradients, narrow, strict=True):
        assert np.linalg.norm(gradient - expected) <= 0.02 * np.linalg.norm(expected)


def test_who_has_seen_all_but_the_true_item_loses_nothing():
    seen = SeenItems.of_windows(tf.constant([[0, 1, 2]]), tf.constant([[0, 1, 2]]), 4)
    with tf.GradientTape() as tape:
        queries = tf.random.stateless_normal([3, DIM], [1, 2])
        tape.watch(queries)
        weights = tf.constant([0.0, 0.0, 1.0])
        loss = full_softmax(queries, tf.ones([4, DIM]), tf.zeros(4), tf.constant([3, 3, 3]), weights, seen=seen)
    assert float(loss) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, queries), np.zeros([3, DIM]), atol=1e-6)


def test_the_shape_of_the_offsets_is_known_to_a_graph():
    """TensorFlow's estimates of costs complain of a softmax whose rank is unknown, once a step that is traced."""

    @tf.function(autograph=False)
    def rank(targets, num_items):
        seen = SeenItems.of_windows(tf.constant(SEEN), tf.constant(PLACES), ITEMS)
        return tf.constant(seen.offsets(tf.constant(0), targets, num_items).shape.rank or -1)

    assert int(rank(tf.constant([1, 2]), tf.constant(ITEMS))) == 2


@pytest.mark.parametrize("offsets", [counted, scattered])
def test_what_is_left_out_is_so_once_for_each_time_that_it_was_seen(offsets):
    """On a CPU by counting, on a GPU by scattering."""
    left_out = np.array([[3, 9, 3, 0], [9, 9, 9, 9], [8, 1, 9, 2]], np.int32)
    expected = np.zeros([3, ITEMS], np.float32)
    for row, item in np.ndenumerate(left_out):
        if item < ITEMS:
            expected[row[0], item] += LEFT_OUT
    np.testing.assert_array_equal(offsets(tf.constant(left_out), tf.constant(ITEMS)), expected)
