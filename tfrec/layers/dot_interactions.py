"""The dot products of all pairs of fields, each a value of its own (Naumov et al. 2019, section 2.1.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs


class DotInteractions(tf.keras.layers.Layer):  # type: ignore[misc]
    """The layer of TensorFlow Recommenders, and of its symmetric matrix the part below the diagonal."""

    def __init__(self, dtype: Any = tf.float32) -> None:
        super().__init__(name="dot_interactions", dtype=dtype)
        # Its own selection takes one number after the other by a mask; the places are the same in every row.
        self._products = tfrs.layers.feature_interaction.DotInteraction(skip_gather=True, dtype=dtype)

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """Float [batch, fields, dim] → float [batch, fields · (fields − 1) / 2]: pairs (1, 0), (2, 0), (2, 1), …"""
        fields = vectors.shape[1]
        first, second = np.tril_indices(fields, -1)
        products = self._products(tf.unstack(vectors, axis=1))
        return tf.gather(products, first * fields + second, axis=1)
