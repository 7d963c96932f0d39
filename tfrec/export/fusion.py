r"""Lists of several sources → one.

- `reciprocal_rank` (Cormack, Clarke & Büttcher 2009): :math:`\sum_s w_s / (60 + r_s(i))`, r_s the place of item i in
  the list of source s, from 1. It asks nothing of the scores but their order.
- `score`: :math:`\sum_s w_s \frac{s_s(i) - \min_j s_s(j)}{\max_j s_s(j) - \min_j s_s(j)}` over each list, 1 where all
  of its scores are the same.

A source that did not find an item adds nothing to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import tensorflow as tf

from tfrec.export.filters import NEVER

Fusion = Literal["reciprocal_rank", "score"]
RANK_OFFSET = 60.0


class Found(NamedTuple):
    """What a source found, best first.

    Attributes:
        scores: float32 [batch, width], −inf where nothing is left.
        items: item indices int32 [batch, width].

    """

    scores: tf.Tensor
    items: tf.Tensor


def fuse(lists: Sequence[Found], weights: Sequence[float], kind: Fusion, num_items: int) -> Found:
    """The best of all lists, as many as each of them has; a single list as it is."""
    if len(lists) == 1:
        return lists[0]
    batch = tf.shape(lists[0].items)[0]
    total = tf.zeros(tf.stack([batch, num_items + 1]))  # padding goes behind the catalogue
    was_found = tf.zeros_like(total, tf.bool)
    for found, weight in zip(lists, weights, strict=True):
        is_there = found.scores > NEVER
        places = _places(found, num_items)
        total = tf.tensor_scatter_nd_add(total, places, weight * _shares(found.scores, is_there, kind))
        was_found |= tf.tensor_scatter_nd_update(tf.zeros_like(was_found), places, is_there)
    scores = tf.where(was_found, total, NEVER)[:, :num_items]
    best, items = tf.math.top_k(scores, tf.shape(lists[0].items)[1])
    return Found(best, items)


def _places(found: Found, num_items: int) -> tf.Tensor:
    """(row, item) of every place of a list, [batch, width, 2]; of padding the item behind the catalogue."""
    items = tf.where(found.scores > NEVER, found.items, num_items)
    rows = tf.range(tf.shape(items)[0])[:, None]
    return tf.stack([tf.broadcast_to(rows, tf.shape(items)), items], axis=2)


def ranks_in(found: Found, items: tf.Tensor, num_items: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Where items [batch, n] stand in a list: places from 1 on, int32 [batch, n], 0 where they do not; their scores."""
    is_there = found.scores > NEVER
    ranks = tf.where(is_there, tf.range(1, tf.shape(found.items)[1] + 1)[None, :], 0)
    places = _places(found, num_items)
    shape = tf.stack([tf.shape(items)[0], num_items + 1])
    dense_ranks = tf.scatter_nd(places, ranks, shape)
    dense_scores = tf.tensor_scatter_nd_update(tf.fill(shape, NEVER), places, found.scores)
    return tf.gather(dense_ranks, items, batch_dims=1), tf.gather(dense_scores, items, batch_dims=1)


def to_unit(scores: tf.Tensor, is_there: tf.Tensor) -> tf.Tensor:
    """Each row's scores between 0 for the lowest and 1 for the highest of those that are there."""
    high = tf.reduce_max(tf.where(is_there, scores, NEVER), axis=1, keepdims=True)
    low = tf.reduce_min(tf.where(is_there, scores, -NEVER), axis=1, keepdims=True)
    return tf.where(is_there & (high > low), tf.math.divide_no_nan(scores - low, high - low), 1.0)


def _shares(scores: tf.Tensor, is_there: tf.Tensor, kind: Fusion) -> tf.Tensor:
    if kind == "reciprocal_rank":
        ranks = tf.range(1.0, tf.cast(tf.shape(scores)[1], tf.float32) + 1.0)[None, :]
        return tf.broadcast_to(1.0 / (RANK_OFFSET + ranks), tf.shape(scores))
    return to_unit(scores, is_there)
