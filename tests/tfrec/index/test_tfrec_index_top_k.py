"""The two-stage top k against a full sort."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.index import top_places
from tfrec.index.top_k import CHUNK

FUNCTION = tf.function(
    top_places, [tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([], tf.int32)], autograph=False
)


def plain(values, k):
    """Places of the k largest of each row, the lower place first among equals."""
    return np.array([sorted(range(len(row)), key=lambda at, row=row: (-row[at], at))[:k] for row in values.tolist()])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 3),
    size=st.integers(1, 40 * CHUNK),
    k=st.integers(0, 60),
    distinct=st.sampled_from([2, 5, 1000, 10**6]),
    seed=st.integers(0, 2**32),
)
def test_places_are_those_of_a_full_sort_and_equal_values_come_by_their_place(rows, size, k, distinct, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, distinct, (rows, size)).astype(np.float32) - distinct // 2
    values[rng.random((rows, size)) < 0.1] = -np.inf
    best, places = FUNCTION(values, k)
    expected = plain(values, k).reshape(rows, min(k, size))
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(best, np.take_along_axis(values, expected.astype(np.int64), axis=1))


@pytest.mark.parametrize("size", [100 * CHUNK, 100 * CHUNK - 1, 100 * CHUNK + 1])
@pytest.mark.parametrize("at", ["rising", "falling", "one chunk", "equal"])
def test_wherever_the_largest_values_stand(size, at):
    values = np.zeros((1, size), np.float32)
    if at in ("rising", "falling"):
        values[0] = np.arange(size)
    if at == "falling":
        values = values[:, ::-1].copy()
    if at == "one chunk":
        values[0, 3 * CHUNK : 4 * CHUNK] = np.arange(CHUNK) + 1
    np.testing.assert_array_equal(FUNCTION(values, 20)[1], plain(values, 20))
