"""The parts of attention layers, with their masks and dropout, against plain loops and numeric gradients."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrec.layers.block_attention import block_attention, block_mask
from tfrec.layers.byte_dropout import kept_shares
from tfrec.layers.feed_forward import feed_forward
from tfrec.layers.rms_norm import EPSILON, rms_norm

SEGMENTS = np.array([[1, 1, 1, 2, 2, 0], [1, 2, 2, 2, 2, 3]])


def sees(row, step, other, is_causal):
    return SEGMENTS[row, step] == SEGMENTS[row, other] and not (is_causal and other > step)


@pytest.mark.parametrize("is_causal", [True, False])
def test_a_step_sees_its_own_segment_alone_and_nothing_later_where_it_is_causal(is_causal):
    mask = block_mask(tf.constant(SEGMENTS), is_causal=is_causal).numpy()
    for row in range(2):
        for step in range(6):
            for other in range(6):
                assert (mask[row, 0, step, other] == 0) == sees(row, step, other, is_causal)


def attention_by_hand(q, k, v, bias, is_causal):
    out = np.zeros_like(v)
    rows, heads, length, width = q.shape
    for row in range(rows):
        for head in range(heads):
            for step in range(length):
                seen = [other for other in range(length) if sees(row, step, other, is_causal)]
                logits = [
                    sum(q[row, head, step, d] * k[row, head, o, d] for d in range(width)) / math.sqrt(width)
                    + (0 if bias is None else bias[row, head, step, o])
                    for o in seen
                ]
                shares = np.exp(np.array(logits) - max(logits))
                shares /= shares.sum()
                for other, share in zip(seen, shares, strict=True):
                    out[row, head, step] += share * v[row, head, other]
    return out


def parts(has_bias):
    random = np.random.default_rng(1)
    found = [random.normal(size=(2, 2, 6, 3)).astype(np.float32) for _ in range(3)]
    return [*found, random.normal(size=(2, 2, 6, 6)).astype(np.float32)] if has_bias else found


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("has_bias", [True, False])
def test_attention_is_that_of_plain_loops(is_causal, has_bias):
    values = parts(has_bias)
    mask = block_mask(tf.constant(SEGMENTS), is_causal=is_causal)
    found = block_attention(*map(tf.constant, values[:3]), mask, tf.constant(values[3]) if has_bias else None)
    expected = attention_by_hand(*values[:3], values[3] if has_bias else None, is_causal)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def numeric_gradient(function, values, place):
    """Central differences of a function of several arrays by one of them, a number at a time."""
    gradient = np.zeros_like(values[place])
    for index in np.ndindex(gradient.shape):
        sides = []
        for step in (1e-2, -1e-2):
            moved = [value.copy() for value in values]
            moved[place][index] += step
            sides.append(function(moved))
        gradient[index] = (sides[0] - sides[1]) / 2e-2
    return gradient


@pytest.mark.parametrize("place", range(4))
def test_the_gradient_of_attention_is_the_numeric_one(place):
    values = [value[:1, :1] for value in parts(has_bias=True)]
    weights = np.random.default_rng(2).normal(size=(1, 1, 6, 3))
    tensors = [tf.constant(value) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        mask = block_mask(tf.constant(SEGMENTS[:1]), is_causal=True)
        total = tf.reduce_sum(block_attention(*tensors[:3], mask, tensors[3]) * tf.constant(weights, tf.float32))
    found = tape.gradient(total, tensors[place])

    def plain(moved):
        one_row = [np.concatenate([value, value]) for value in (v.astype(float) for v in moved)]
        return (attention_by_hand(*one_row[:3], one_row[3], True)[:1] * weights).sum()

    expected = numeric_gradient(plain, [value.astype(float) for value in values], place)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_bias_that_all_rows_share_has_the_gradients_of_all_of_them():
    *values, bias = map(tf.constant, parts(has_bias=True))
    mask, weights = block_mask(tf.constant(SEGMENTS), is_causal=True), tf.random.normal([2, 2, 6, 3], seed=1)
    with tf.GradientTape(persistent=True) as tape:
        shared, repeated = bias[:1], tf.repeat(bias[:1], 2, axis=0)
        tape.watch([shared, repeated])
        by_shared, by_repeated = (block_attention(*values, mask, one) for one in (shared, repeated))
        totals = [tf.reduce_sum(one * weights) for one in (by_shared, by_repeated)]
    np.testing.assert_array_equal(by_shared, by_repeated)
    of_rows = tape.gradient(totals[1], repeated).numpy()
    assert abs(of_rows).min(axis=0).max() > 0.01
    np.testing.assert_allclose(tape.gradient(totals[0], shared), of_rows.sum(axis=0, keepdims=True), atol=1e-6)


def test_rms_norm_and_its_gradients_are_those_of_the_formula():
    random = np.random.default_rng(3)
    values = [random.normal(size=(4, 5)), random.normal(size=5)]
    weights = random.normal(size=(4, 5))

    def plain(moved):
        x, gains = moved
        return (gains * x / np.sqrt((x**2).mean(axis=1, keepdims=True) + EPSILON) * weights).sum()

    tensors = [tf.constant(value, tf.float32) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        total = tf.reduce_sum(rms_norm(*tensors) * tf.constant(weights, tf.float32))
    assert float(total) == pytest.approx(plain(values), rel=1e-5)
    for place, found in enumerate(tape.gradient(total, tensors)):
        np.testing.assert_allclose(found, numeric_gradient(plain, values, place), rtol=1e-3, atol=1e-4)


def test_feed_forward_and_its_gradients_are_those_of_the_formula():
    random = np.random.default_rng(4)
    values = [random.normal(size=size) for size in ((4, 3), (3, 7), (7,), (7, 3))]
    weights = random.normal(size=(4, 3))

    def plain(moved):
        x, wide, bias, narrow = moved
        return (np.maximum(x @ wide + bias, 0) @ narrow * weights).sum()

    hidden = values[0] @ values[1] + values[2]
    assert (hidden > 0).any()
    assert (hidden < 0).any()
    assert abs(hidden).min() > 0.05  # none so near the ReLU's corner that a step of the differences crosses it
    tensors = [tf.constant(value, tf.float32) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        total = tf.reduce_sum(feed_forward(*tensors) * tf.constant(weights, tf.float32))
    assert float(total) == pytest.approx(plain(values), rel=1e-5)
    for place, found in enumerate(tape.gradient(total, tensors)):
        np.testing.assert_allclose(found, numeric_gradient(plain, values, place), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_masks_drop_their_share_keep_the_mean_and_differ(rate):
    first, second = kept_shares(2, tf.constant([200, 300]), rate, tf.constant([1, 2]))
    share = round(rate * 256) / 256
    for mask in (first.numpy(), second.numpy()):
        np.testing.assert_allclose(np.unique(mask), [0, 1 / (1 - share)], rtol=1e-6)
        assert abs((mask == 0).mean() - share) < 5 * math.sqrt(share * (1 - share) / mask.size)
    assert abs(np.corrcoef(first.numpy().ravel(), second.numpy().ravel())[0, 1]) < 0.03
    again = kept_shares(2, tf.constant([200, 300]), rate, tf.constant([1, 2]))[0]
    np.testing.assert_array_equal(first, again)
    assert (first.numpy() != kept_shares(2, tf.constant([200, 300]), rate, tf.constant([1, 3]))[0].numpy()).any()
