"""Which items a request may not get, applied to the scores before the cut to k."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

NEVER = -float("inf")


class Pairs(NamedTuple):
    """Items that rows of a batch may not get: row `rows[i]` not item `items[i]`.

    Attributes:
        rows: int64 [pairs].
        items: item indices; those behind the catalogue stand for nothing. int64 [pairs]

    """

    rows: tf.Tensor
    items: tf.Tensor


class Limits(NamedTuple):
    """What a request wants left out.

    Attributes:
        excluded: items by name.
        is_filtered: whether any row allows some items alone. bool scalar
        allowed: which items each row allows: a function, for who needs it only where `is_filtered`.
            () → bool [batch or 1, num_items]

    """

    excluded: Pairs
    is_filtered: tf.Tensor
    allowed: Callable[[], tf.Tensor]

    def apply(self, scores: tf.Tensor) -> tf.Tensor:
        """Scores [batch, num_items], −inf where an item is left out."""
        kept = tf.cond(self.is_filtered, lambda: tf.where(self.allowed(), scores, NEVER), lambda: scores)
        return exclude(kept, self.excluded)


def listed(items: tf.Tensor, batch: tf.Tensor) -> Pairs:
    """The item indices [batch or 1, n] of each row."""
    items = tf.broadcast_to(items, tf.stack([batch, tf.shape(items)[1]]))
    rows = tf.repeat(tf.range(tf.cast(batch, tf.int64)), tf.shape(items)[1])
    return Pairs(rows, tf.reshape(items, [-1]))


def of_rows(items: tf.RaggedTensor, wanted: tf.Tensor) -> Pairs:
    """Each row's items where `wanted` [batch] is true."""
    rows = items.value_rowids()
    is_wanted = tf.gather(wanted, rows)
    return Pairs(tf.boolean_mask(rows, is_wanted), tf.boolean_mask(items.values, is_wanted))


def together(*pairs: Pairs) -> Pairs:
    return Pairs(tf.concat([one.rows for one in pairs], axis=0), tf.concat([one.items for one in pairs], axis=0))


def exclude(scores: tf.Tensor, pairs: Pairs) -> tf.Tensor:
    """Set scores [batch, num_items] at the pairs to −inf; pairs behind the catalogue are ignored."""
    is_item = pairs.items < tf.shape(scores, tf.int64)[1]
    places = tf.boolean_mask(tf.stack([pairs.rows, pairs.items], axis=1), is_item)
    return tf.tensor_scatter_nd_update(scores, places, tf.fill([tf.shape(places)[0]], NEVER))


def allow_listed(items: tf.Tensor, has_list: tf.Tensor, num_items: int) -> tf.Tensor:
    """Bool [batch or 1, num_items]: the item indices [batch or 1, n] of each row that `has_list`, all of others."""
    rows, of_rows_ = listed(items, tf.shape(items)[0])
    is_item = of_rows_ < num_items
    places = tf.boolean_mask(tf.stack([rows, of_rows_], axis=1), is_item)
    start = tf.repeat(tf.logical_not(has_list)[:, None], num_items, axis=1)
    return tf.tensor_scatter_nd_update(start, places, tf.fill([tf.shape(places)[0]], True))


def widest(k: tf.Tensor, limit: tf.Tensor | int) -> tf.Tensor:
    """The largest of k int32 [batch], which must be at least 0, and `limit` at most; int32 scalar."""
    check = tf.debugging.Assert(tf.reduce_all(k >= 0), ["k must be at least 0, got", k])
    with tf.control_dependencies([check]):
        return tf.minimum(tf.reduce_max(tf.concat([k, [0]], axis=0)), limit)


def cut(scores: tf.Tensor, items: tf.Tensor, k: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Each row's first k of a list that is ordered already.

    Args:
        scores: float [batch, width], −inf where the list is over.
        items: item indices [batch, width].
        k: int32 [batch].
        ids: string [num_items].

    Returns:
        ids string and scores float [batch, width]; "" and −inf past a row's k, and where its list is shorter.

    """
    is_result = (tf.range(tf.shape(scores)[1]) < k[:, None]) & (scores > NEVER)
    return tf.where(is_result, tf.gather(ids, items), ""), tf.where(is_result, scores, NEVER)
