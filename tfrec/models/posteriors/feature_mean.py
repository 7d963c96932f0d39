"""The part of a prior's mean that features give."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.layers import FeatureEmbedding, FieldPlan, IdTable
from tfrec.schema import Schema


class FeatureMean(tf.keras.layers.Layer):  # type: ignore[misc]
    """A f: the embeddings of some features, added up; 0 without features."""

    def __init__(
        self,
        name: str,
        schema: Schema,
        num_ids: Mapping[str, int],
        features: tuple[str, ...],
        dim: int,
        *,
        stddev: float,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        self._embedding: FeatureEmbedding | None = None
        if features:
            plan = FieldPlan(schema, num_ids, features)
            self._embedding = FeatureEmbedding(plan, dim, stddev=stddev, seed=seed, first_order=False)

    def call(self, features: Tensors) -> tf.Tensor:
        """Encoded features → float32 [batch, dim], or a scalar 0."""
        if self._embedding is None:
            return tf.zeros([])
        return tf.reduce_sum(self._embedding(features).vectors, axis=1)

    def id_tables(self) -> list[IdTable]:
        return [] if self._embedding is None else list(self._embedding.id_tables())
