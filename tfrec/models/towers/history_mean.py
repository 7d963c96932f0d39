"""The history of a request → one vector: a plain mean, or a sum with learnt weights by recency."""

from __future__ import annotations

import tensorflow as tf

from tfrec.layers import PositionWeightedPooling
from tfrec.layers.tables import look_up
from tfrec.schema import Schema, SequenceFeature


class HistoryMean(tf.keras.layers.Layer):  # type: ignore[misc]
    """Pools item vectors of the schema's history."""

    def __init__(self, schema: Schema, dim: int, half_life: float | None) -> None:
        """Make the layer.

        Args:
            schema: with a history.
            dim: of the vectors.
            half_life: items after which a learnt weight starts at one half; None: a plain mean without weights.

        """
        super().__init__(name="history_mean")
        assert schema.history is not None
        feature = schema.features[schema.history]
        assert isinstance(feature, SequenceFeature)
        self._pooling = None if half_life is None else PositionWeightedPooling(feature.length, dim, half_life)

    def call(self, table: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Ids int [batch, length], 0 for padding, and rows of `table` → float32 [batch, dim]; 0 if there are none."""
        if self._pooling is not None:
            return self._pooling(table, ids)
        is_item = tf.cast(ids != 0, tf.float32)
        total = tf.linalg.matvec(look_up(table, ids), is_item, transpose_a=True)
        return tf.math.divide_no_nan(total, tf.reduce_sum(is_item, axis=1, keepdims=True))
