"""The full softmax in chunks against TensorFlow's own, the losses of GRU4Rec against loops over the pairs."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrec.losses import full_softmax as module
from tfrec.losses.against_hardest import bpr_max, top1_max
from tfrec.losses.full_softmax import full_softmax


def drawn(rows, items, dim, seed=1):
    random = np.random.default_rng(seed)
    values = [random.normal(size=size).astype(np.float32) for size in ((rows, dim), (items, dim), (items,))]
    weights = np.where(random.uniform(size=rows) < 0.2, 0, random.uniform(size=rows)).astype(np.float32)
    return values, random.integers(0, items, rows), weights


@pytest.mark.parametrize(("rows", "chunk"), [(1, 4), (7, 3), (12, 4), (50, 1024)])
def test_loss_and_gradients_are_those_of_tensorflows_cross_entropy(monkeypatch, rows, chunk):
    monkeypatch.setattr(module, "CHUNK_ROWS", chunk)
    values, targets, weights = drawn(rows, 9, 4)
    tensors = [tf.constant(value) for value in values]

    def plain(q, c, a):
        logits = tf.matmul(q, c, transpose_b=True) + a
        return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits) * weights)

    results = []
    for loss in (plain, lambda q, c, a: full_softmax(q, c, a, tf.constant(targets), tf.constant(weights))):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = 3.0 * loss(*tensors)
        results.append([total, *tape.gradient(total, tensors)])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [tf.bfloat16, tf.float16])
def test_in_half_the_bits_loss_and_gradients_stay_near(kind):
    values, targets, weights = drawn(64, 200, 16)
    weights = weights / weights.sum() * 1e-3  # as small as in a large batch
    tensors = [tf.constant(value / 2) for value in values]
    results = []
    for compute in (tf.float32, kind):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss = full_softmax(*tensors, tf.constant(targets), tf.constant(weights), compute)
        results.append([loss, *tape.gradient(loss, tensors)])
    for expected, found in zip(*results, strict=True):
        expected = np.asarray(expected)
        assert np.linalg.norm(found - expected) <= 0.02 * np.linalg.norm(expected)


def test_rows_without_weight_leave_no_trace():
    values, targets, _ = drawn(5, 9, 4)
    tensors = [tf.constant(value) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = full_softmax(*tensors, tf.constant(targets), tf.zeros(5))
    assert float(loss) == 0
    assert not any(gradient.numpy().any() for gradient in tape.gradient(loss, tensors))


@pytest.mark.parametrize("kind", [tf.float32, tf.bfloat16])
def test_no_rows_have_no_loss_and_no_gradient(kind):
    values, _, _ = drawn(0, 9, 4)
    tensors = [tf.constant(value) for value in values]

    @tf.function
    def gradients(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss = full_softmax(*tensors, tf.zeros([0], tf.int64), tf.zeros([0]), kind)
        return [loss, *tape.gradient(loss, tensors)]

    for found, shape in zip(gradients(*tensors), ((), (0, 4), (9, 4), (9,)), strict=True):
        np.testing.assert_array_equal(found, np.zeros(shape))


def test_a_target_whose_probability_vanishes_has_its_loss_and_gradient():
    queries, items = tf.constant([[200.0]]), tf.constant([[1.0], [-1.0], [0.5]])
    with tf.GradientTape() as tape:
        tape.watch(queries)
        loss = full_softmax(queries, items, tf.zeros(3), tf.constant([1]), tf.ones(1))
    assert float(loss) == pytest.approx(400, rel=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, queries), [[2.0]], rtol=1e-6)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def by_hand(kind, positive, negatives, is_negative, penalty):
    among = [r for r, there in zip(negatives, is_negative, strict=True) if there]
    if not among:
        return 0.0
    total = sum(math.exp(r) for r in among)
    shares = [math.exp(r) / total for r in among]
    if kind == "top1_max":
        return sum(s * (sigmoid(r - positive) + sigmoid(r * r)) for s, r in zip(shares, among, strict=True))
    won = sum(s * sigmoid(positive - r) for s, r in zip(shares, among, strict=True))
    return -math.log(won) + penalty * sum(s * r * r for s, r in zip(shares, among, strict=True))


@pytest.mark.parametrize("kind", ["bpr_max", "top1_max"])
def test_losses_of_the_hardest_negatives_are_those_of_loops(kind):
    random = np.random.default_rng(4)
    positives, negatives = random.normal(size=6), random.normal(size=(6, 5)) * 2
    is_negative = random.uniform(size=(6, 5)) < 0.7
    is_negative[3] = False
    arguments = [tf.constant(v, tf.float32) for v in (positives, negatives)]
    if kind == "bpr_max":
        found = bpr_max(*arguments, tf.constant(is_negative), 0.3)
    else:
        found = top1_max(*arguments, tf.constant(is_negative))
    expected = [by_hand(kind, *row, 0.3) for row in zip(positives, negatives, is_negative, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", [lambda p, n, m: bpr_max(p, n, m, 0.0), top1_max])
def test_huge_scores_give_a_finite_loss_and_gradient(loss):
    positive, negatives = tf.constant([-500.0, 500.0]), tf.constant([[500.0, -500.0], [-500.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch([positive, negatives])
        total = tf.reduce_sum(loss(positive, negatives, tf.ones([2, 2], tf.bool)))
    assert math.isfinite(float(total))
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(total, [positive, negatives]))
