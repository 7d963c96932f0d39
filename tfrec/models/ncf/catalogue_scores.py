"""Scores of all items for a batch of users by a network that is asked pair by pair, some pairs at a time."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

NUMBERS_AT_ONCE = 1 << 20  # of the widest tensor, pairs × width: 4 MB, whatever the batch and the catalogue


def catalogue_scores(users: tf.Tensor, items: tf.Tensor, score: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Score every pair of a row of `users` and a row of `items` by the sum of both.

    No tensor has more than `NUMBERS_AT_ONCE` numbers (or one pair, where that is wider), but for what is given and what
    is returned.

    Args:
        users: float32 [batch, width].
        items: float32 [num_items, width].
        score: sums float32 [pairs, width] → scores float32 [pairs].

    Returns:
        float32 [batch, num_items].

    """
    width = int(users.shape[1])
    batch, num_items = tf.shape(users)[0], tf.shape(items)[0]
    pairs = max(NUMBERS_AT_ONCE // width, 1)
    columns = tf.clip_by_value(num_items, 1, pairs)
    rows = tf.maximum(pairs // columns, 1)

    def of_users(first: tf.Tensor) -> tf.Tensor:
        own = users[first : first + rows]

        def of_items(begin: tf.Tensor) -> tf.Tensor:
            some = items[begin : begin + columns]
            found = score(tf.reshape(some[:, None, :] + own, [-1, width]))
            return tf.reshape(found, [tf.shape(some)[0], tf.shape(own)[0]])

        return tf.transpose(_in_blocks(num_items, columns, of_items, tf.TensorShape([None, None])))

    return tf.ensure_shape(
        _in_blocks(batch, rows, of_users, tf.TensorShape([None, items.shape[0]])), [users.shape[0], items.shape[0]]
    )


def _in_blocks(
    count: tf.Tensor, size: tf.Tensor, block: Callable[[tf.Tensor], tf.Tensor], shape: tf.TensorShape
) -> tf.Tensor:
    """Rows 0 … count − 1 of something, `size` at a time: `block` makes them from the first one's number."""
    blocks = tf.maximum(-(-count // size), 1)
    parts = tf.TensorArray(tf.float32, blocks, infer_shape=False, element_shape=shape)

    def one(number: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        return number + 1, found.write(number, tf.ensure_shape(block(number * size), shape))

    _, parts = tf.while_loop(lambda number, _: number < blocks, one, (0, parts), parallel_iterations=1)
    return parts.concat()
