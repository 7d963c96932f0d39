"""Sums of rows against a loop, both ways of computing them, and their gradients."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.row_sums import NARROW, compiled_by_xla, sum_rows


@given(st.integers(0, 30), st.integers(1, 12), st.sampled_from([1, 3, NARROW - 1, NARROW, 40]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_place_gets_the_weighted_sum_of_its_rows_and_an_empty_one_zeros(rows, count, dim, has_weights):
    rng = np.random.default_rng(rows * 100 + count)
    values, places = rng.normal(size=(rows, dim)).astype(np.float32), rng.integers(0, count, rows)
    weights = rng.normal(size=rows).astype(np.float32) if has_weights else None
    expected = np.zeros((count, dim))
    for row in range(rows):
        expected[places[row]] += values[row] * (1.0 if weights is None else weights[row])
    found = sum_rows(values, tf.constant(places, tf.int32), count, weights)
    with compiled_by_xla():
        plain = sum_rows(tf.constant(values), tf.constant(places), tf.constant(count), weights)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(plain.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dim", [3, 40])
def test_the_gradient_of_a_row_is_that_of_its_place_times_its_weight(dim):
    rng = np.random.default_rng(0)
    values, places = tf.Variable(rng.normal(size=(9, dim)), dtype=tf.float32), np.array([0, 2, 2, 1, 0, 2, 4, 4, 1])
    weights, goal = rng.normal(size=9).astype(np.float32), rng.normal(size=(5, dim)).astype(np.float32)
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(sum_rows(values, tf.constant(places), 5, tf.constant(weights)) * goal)
    np.testing.assert_allclose(tape.gradient(result, values).numpy(), goal[places] * weights[:, None], rtol=1e-5)
