"""Scores at sparse places and their gradients against plain loops; what XLA compiles, and many threads."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.models.factors import sparse_scores
from tfrec.models.factors.tables import scaled_squares, with_ones
from tfrec.row_sums import compiled_by_xla


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 5), st.sampled_from([1, 40, 1 << 17]), st.integers(0, 99))
def test_sparse_scores_and_their_gradients_are_the_loops(batch, width, dim, chunk, seed):
    rng = np.random.default_rng(seed)
    users, items = rng.normal(size=(6, dim)).astype(np.float32), rng.normal(size=(4, dim)).astype(np.float32)
    user_rows, item_rows = np.sort(rng.integers(0, 6, batch)), rng.integers(0, 4, (batch, width))
    upstream = rng.normal(size=(batch, width)).astype(np.float32)
    by_user, by_item, expected = np.zeros((6, dim)), np.zeros((4, dim)), np.zeros((batch, width))
    for b in range(batch):
        for k in range(width):
            u, i = user_rows[b], item_rows[b, k]
            expected[b, k] = sum(float(x) * float(y) for x, y in zip(users[u], items[i], strict=True))
            by_user[u] += upstream[b, k] * items[i]
            by_item[i] += upstream[b, k] * users[u]
    p, q = tf.constant(users), tf.constant(items)
    before, sparse_scores.CHUNK = sparse_scores.CHUNK, chunk
    try:
        with tf.GradientTape() as tape:
            tape.watch([p, q])
            found = sparse_scores.sparse_scores(p, q, tf.constant(user_rows), tf.constant(item_rows))
            loss = tf.reduce_sum(found * upstream)
        gradients = tape.gradient(loss, [p, q])
    finally:
        sparse_scores.CHUNK = before
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradients[0], by_user, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradients[1], by_item, rtol=1e-4, atol=1e-5)


def test_what_xla_compiles_gives_the_same_scores_sums_and_gradients():
    rng = np.random.default_rng(1)
    p, q = (tf.constant(rng.normal(size=(n, 3)), tf.float32) for n in (5, 4))
    users, items = tf.constant([0, 0, 2, 4]), tf.constant([[1, 1], [3, 0], [2, 2], [0, 1]])
    results = []
    for plain in (False, True):
        with tf.GradientTape() as tape:
            tape.watch([p, q])
            if plain:
                with compiled_by_xla():
                    parts = (
                        sparse_scores.sparse_scores(p, q, users, items),
                        sparse_scores.sums_of_rows(users, items[:, 0], 6, q, tf.constant([1.0, 2.0, 3.0, 4.0])),
                    )
            else:
                parts = (
                    sparse_scores.sparse_scores(p, q, users, items),
                    sparse_scores.sums_of_rows(users, items[:, 0], 6, q, tf.constant([1.0, 2.0, 3.0, 4.0])),
                )
            loss = sum(tf.reduce_sum(tf.sin(part)) for part in parts)
        results.append([*parts, *map(tf.convert_to_tensor, tape.gradient(loss, [p, q]))])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    # By hand: place 0 gets row 1 once and row 3 twice.
    np.testing.assert_allclose(results[0][1][0], q[1] + 2 * q[3], rtol=1e-6)
    np.testing.assert_allclose(results[0][1][5], np.zeros(3))


@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_column_of_ones_and_scaled_squares_have_the_gradients_of_plain_operations(place):
    rng = np.random.default_rng(place)
    x, scales, upstream = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((5, 3), (5, 3), (4, 4)))

    def plain(x):
        ones = tf.ones([5, 1])
        wide = tf.concat([x[:, :place], ones, x[:, place:]], axis=1)
        return wide, tf.reduce_sum(scales * x**2)

    found = []
    for function in (plain, lambda x: (with_ones(x, place), scaled_squares(x, scales))):
        with tf.GradientTape() as tape:
            tape.watch(x)
            wide, squares = function(x)
            loss = tf.reduce_sum(tf.gather(wide, [4, 0, 4, 1]) * upstream) + 3 * squares
        found.append((wide, squares, tf.convert_to_tensor(tape.gradient(loss, x))))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@given(st.lists(st.integers(0, 8), max_size=40))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_is_that_of_a_stable_sort(rows):
    found = sparse_scores.order_of(tf.constant(rows, tf.int64), 9).numpy().tolist()
    assert found == sorted(range(len(rows)), key=lambda place: rows[place])


def test_many_threads_add_up_in_one_order():
    """What is summed where must not follow from which thread was faster."""
    rng = np.random.default_rng(0)
    p, q = (tf.constant(rng.normal(size=(n, 65)), tf.float32) for n in (600, 300))
    users, items = np.sort(rng.integers(0, 600, 30_000)), rng.integers(0, 300, (30_000, 2))
    results = []
    for _ in range(5):
        with tf.GradientTape() as tape:
            tape.watch([p, q])
            loss = tf.reduce_sum(tf.square(sparse_scores.sparse_scores(p, q, tf.constant(users), tf.constant(items))))
        results.append([g.numpy() for g in tape.gradient(loss, [p, q])])
    assert all(np.array_equal(a, b) for one in results[1:] for a, b in zip(results[0], one, strict=True))
