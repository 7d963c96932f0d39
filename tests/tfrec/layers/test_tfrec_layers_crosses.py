"""The ids of crosses against Python's integers, and how evenly they fall."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.layers.crosses import cross_ids

WRAP = (1 << 64) - 1


def splitmix(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WRAP
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WRAP
    return x ^ (x >> 31)


def slow_id(numbers, buckets):
    if 0 in numbers:
        return 0
    mixed = 0
    for number in numbers:
        mixed = splitmix((mixed + (number + 1) * 0x9E3779B97F4A7C15) & WRAP)
    return 1 + (mixed >> 32) * buckets // 2**32


def ints(values):
    return tf.constant(values, tf.int64)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.integers(0, 2**31)] * 3), min_size=1, max_size=8),
    parts=st.sampled_from([2, 3]),
    buckets=st.sampled_from([1, 2, 1000, 2**31 - 1]),
)
def test_an_id_is_the_hash_of_the_parts_by_pythons_integers(rows, parts, buckets):
    columns = [[row[part] for row in rows] for part in range(parts)]
    found = cross_ids([ints(column) for column in columns], buckets).numpy()
    assert found.tolist() == [slow_id(row[:parts], buckets) for row in rows]


def test_one_part_of_several_values_is_crossed_value_by_value():
    found = cross_ids([ints([3, 0, 5]), ints([[1, 2], [4, 0], [7, 0]]), ints([9, 9, 9])], 50).numpy()
    assert found.tolist() == [
        [slow_id((3, 1, 9), 50), slow_id((3, 2, 9), 50)],
        [0, 0],
        [slow_id((5, 7, 9), 50), 0],
    ]


def test_the_order_of_the_parts_matters():
    """3 × 5 and 5 × 3 are different combinations."""
    pairs = np.argwhere(np.ones((30, 30))) + 1
    one = cross_ids([ints(pairs[:, 0]), ints(pairs[:, 1])], 2**31 - 1).numpy()
    other = cross_ids([ints(pairs[:, 1]), ints(pairs[:, 0])], 2**31 - 1).numpy()
    assert ((one == other) == (pairs[:, 0] == pairs[:, 1])).all()


@pytest.mark.parametrize("buckets", [7, 64, 1000])
def test_combinations_of_small_ids_fall_evenly_into_the_buckets(buckets):
    """χ² of 40,000 neighbouring combinations stays within five standard deviations of what chance gives."""
    pairs = np.argwhere(np.ones((200, 200))) + 1
    ids = cross_ids([ints(pairs[:, 0]), ints(pairs[:, 1])], buckets).numpy()
    counts = np.bincount(ids, minlength=buckets + 1)
    assert len(counts) == buckets + 1
    assert counts[0] == 0
    expected = len(pairs) / buckets
    chi_squared = ((counts[1:] - expected) ** 2 / expected).sum()
    assert abs(chi_squared - (buckets - 1)) < 5 * np.sqrt(2 * (buckets - 1))
