"""The history of a request as steps: the last events of each row, from the left; requests of like length together."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfrec.dataset.records import Tensors

ROWS_AT_ONCE = 64


class HistoryRows(NamedTuple):
    """Where a batch's steps stand in its history columns.

    Attributes:
        columns: of the history that are the steps. int32 [batch, length]
        segments: 1 for a step, 0 for padding. int32 [batch, length]
        places: of the steps, from 0; 0 for padding. int32 [batch, length]
        counts: steps of each row, int32 [batch].

    """

    columns: tf.Tensor
    segments: tf.Tensor
    places: tf.Tensor
    counts: tf.Tensor

    def take(self, values: tf.Tensor) -> tf.Tensor:
        """Of a column [batch, width] the values of the steps, [batch, length]; 0 for padding."""
        found = tf.gather(values, self.columns, batch_dims=1)
        return tf.where(self.segments > 0, found, tf.zeros([], found.dtype))


def history_rows(ids: tf.Tensor, length: int) -> HistoryRows:
    """Lay out a batch; it is as wide as its longest history needs, and at least one step wide.

    Args:
        ids: items, oldest first, padded at the end with 0. int [batch, width]
        length: steps of a row, at most; the latest are kept.

    """
    counts = tf.reduce_sum(tf.cast(ids != 0, tf.int32), axis=1)
    kept = tf.minimum(counts, length)
    width = tf.clip_by_value(tf.reduce_max(kept), 1, tf.shape(ids)[1])
    places = tf.range(width)[None, :]
    is_step = places < kept[:, None]
    columns = tf.where(is_step, places + (counts - kept)[:, None], 0)
    segments = tf.cast(is_step, tf.int32)
    return HistoryRows(columns, segments, tf.where(is_step, places, 0), kept)


def by_length(function: Callable[[Tensors], tf.Tensor], features: Tensors, history: str) -> tf.Tensor:
    """What a function says of requests, some at a time, those with the shortest histories first.

    A batch is as wide as its longest history: most of a large one would be padding, and not fit into a cache.

    Args:
        function: encoded features of some requests → float32 [some, dim].
        features: of all requests, [batch] or [batch, width].
        history: name of the feature that is the history; padded with 0.

    Returns:
        float32 [batch, dim], in the order of the requests.

    """
    counts = tf.math.count_nonzero(features[history], axis=1)
    batch, order = tf.size(counts), tf.argsort(counts, stable=True)
    chunks = tf.maximum(-(-batch // ROWS_AT_ONCE), 1)

    def chunk(index: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        rows = order[index * ROWS_AT_ONCE : (index + 1) * ROWS_AT_ONCE]
        found = function({name: tf.gather(values, rows) for name, values in features.items()})
        return index + 1, parts.write(index, found)

    parts = tf.TensorArray(tf.float32, chunks, infer_shape=False)
    _, parts = tf.while_loop(lambda index, _: index < chunks, chunk, (0, parts), parallel_iterations=1)
    return tf.gather(parts.concat(), tf.argsort(order))
