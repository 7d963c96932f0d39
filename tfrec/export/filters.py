"""Which items a request may not get, applied to the scores before the cut to k."""

from __future__ import annotations

import tensorflow as tf

NEVER = -float("inf")


def exclude(scores: tf.Tensor, rows: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Set scores [batch, num_items] at the pairs (rows, items) to −inf; pairs behind the catalogue are ignored."""
    is_item = items < tf.shape(scores, tf.int64)[1]
    pairs = tf.stack([tf.boolean_mask(rows, is_item), tf.boolean_mask(items, is_item)], axis=1)
    return tf.tensor_scatter_nd_update(scores, pairs, tf.fill([tf.shape(pairs)[0]], NEVER))


def exclude_listed(scores: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Exclude the item indices [batch or 1, n] of each row."""
    items = tf.broadcast_to(items, [tf.shape(scores)[0], tf.shape(items)[1]])
    rows = tf.repeat(tf.range(tf.shape(items, tf.int64)[0]), tf.shape(items)[1])
    return exclude(scores, rows, tf.reshape(items, [-1]))


def exclude_ragged(scores: tf.Tensor, items: tf.RaggedTensor, wanted: tf.Tensor) -> tf.Tensor:
    """Exclude each row's items where `wanted` [batch] is true."""
    kept = tf.boolean_mask(items.values, tf.gather(wanted, items.value_rowids()))
    rows = tf.boolean_mask(items.value_rowids(), tf.gather(wanted, items.value_rowids()))
    return exclude(scores, rows, kept)


def allow_only(scores: tf.Tensor, items: tf.Tensor, has_list: tf.Tensor) -> tf.Tensor:
    """Where `has_list` [batch or 1] is true, keep only the item indices [batch or 1, n] of the row."""
    batch, size = tf.shape(scores)[0], tf.shape(scores, tf.int64)[1]
    items = tf.broadcast_to(items, [batch, tf.shape(items)[1]])
    # A row without a list allows everything: the mask of one column is spread over all.
    rows = tf.repeat(tf.range(tf.cast(batch, tf.int64)), tf.shape(items)[1])
    flat = tf.reshape(items, [-1])
    is_item = flat < size
    pairs = tf.stack([tf.boolean_mask(rows, is_item), tf.boolean_mask(flat, is_item)], axis=1)
    listed = tf.tensor_scatter_nd_update(tf.zeros_like(scores, tf.bool), pairs, tf.fill([tf.shape(pairs)[0]], True))
    return tf.where(listed | tf.logical_not(has_list)[:, None], scores, NEVER)


def top_items(scores: tf.Tensor, k: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The k best items of each row.

    Args:
        scores: float [batch, num_items], −inf where excluded.
        k: int32 [batch], at least 0.
        ids: string [num_items].

    Returns:
        ids string and scores float [batch, min(max k, num_items)]; "" and −inf past a row's k, and where fewer than k
        items are left.

    """
    check = tf.debugging.Assert(tf.reduce_all(k >= 0), ["k must be at least 0, got", k])
    with tf.control_dependencies([check]):
        width = tf.minimum(tf.reduce_max(tf.concat([k, [0]], axis=0)), tf.shape(scores)[1])
    best, items = tf.math.top_k(scores, width)
    is_result = (tf.range(width) < k[:, None]) & (best > NEVER)
    return tf.where(is_result, tf.gather(ids, items), ""), tf.where(is_result, best, NEVER)
