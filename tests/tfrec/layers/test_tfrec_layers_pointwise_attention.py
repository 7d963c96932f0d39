"""Attention without a softmax against plain loops and numeric gradients."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrec.layers.block_attention import block_mask
from tfrec.layers.pointwise_attention import pointwise_attention

SEGMENTS, LONGEST = np.array([[1, 1, 1, 2, 2, 0], [1, 2, 2, 2, 2, 3]]), 10


def by_hand(q, k, v, bias, is_causal):
    out = np.zeros_like(v)
    rows, heads, length, width = q.shape
    for row, head, step, other in np.ndindex(rows, heads, length, length):
        if SEGMENTS[row, step] != SEGMENTS[row, other] or (is_causal and other > step):
            continue
        said = sum(q[row, head, step, d] * k[row, head, other, d] for d in range(width))
        said += 0 if bias is None else bias[min(row, len(bias) - 1), head, step, other]
        out[row, head, step] += said / (1 + math.exp(-said)) / LONGEST * v[row, head, other]
    return out


def parts(bias_rows):
    random = np.random.default_rng(1)
    found = [random.normal(size=(2, 2, 6, 3)).astype(np.float32) for _ in range(3)]
    return [*found, random.normal(size=(bias_rows, 2, 6, 6)).astype(np.float32)] if bias_rows else [*found, None]


def found(values, is_causal, compute_type=tf.float32):
    q, k, v, bias = (None if value is None else tf.constant(value, tf.float32) for value in values)
    mask = block_mask(tf.constant(SEGMENTS), is_causal=is_causal)
    weights = tf.constant(np.random.default_rng(2).normal(size=q.shape), tf.float32)
    with tf.GradientTape() as tape:
        watched = [tensor for tensor in (q, k, v, bias) if tensor is not None]
        tape.watch(watched)
        narrow = [tf.cast(tensor, compute_type) for tensor in (q, k, v)]
        output = pointwise_attention(*narrow, mask, bias, longest=LONGEST)
        total = tf.reduce_sum(tf.cast(output, tf.float32) * weights)
    return output, tape.gradient(total, watched), weights.numpy()


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("bias_rows", [0, 1, 2])
def test_outputs_and_gradients_are_those_of_plain_loops(is_causal, bias_rows):
    values = parts(bias_rows)
    output, gradients, weights = found(values, is_causal)
    exact = [None if value is None else value.astype(float) for value in values]
    np.testing.assert_allclose(output, by_hand(*exact, is_causal), rtol=1e-4, atol=1e-5)
    random = np.random.default_rng(3)
    for place, gradient in enumerate(gradients):
        for index in {tuple(random.integers(0, size) for size in gradient.shape) for _ in range(25)}:
            sides = []
            for step in (1e-4, -1e-4):
                moved = [None if value is None else value.copy() for value in exact]
                moved[place][index] += step
                sides.append((by_hand(*moved, is_causal) * weights).sum())
            assert gradient.numpy()[index] == pytest.approx((sides[0] - sides[1]) / 2e-4, rel=1e-3, abs=1e-5)


def test_in_half_the_bits_outputs_and_gradients_stay_near():
    values = parts(1)
    output, gradients, _ = found(values, True)
    near, narrow, _ = found(values, True, tf.bfloat16)
    for one, other in zip([output, *gradients], [near, *narrow], strict=True):
        assert np.linalg.norm(tf.cast(other, tf.float32) - one) <= 0.03 * np.linalg.norm(one)
