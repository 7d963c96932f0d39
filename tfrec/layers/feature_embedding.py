"""Encoded features → one vector and one first-order weight per field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrec.dataset.records import Tensors, list_width
from tfrec.errors import ConfigError, did_you_mean
from tfrec.schema import Feature, Schema, SequenceFeature


def choose_features(schema: Schema, wanted: Sequence[str] | None, *, roles: Sequence[str], key: str) -> tuple[str, ...]:
    """Names of encoded features: the wanted ones, or all of the roles but sequences.

    Raises:
        ConfigError: a wanted feature is not an encoded one of these roles.

    """
    allowed = [name for name, feature in schema.encoded.items() if feature.role in roles]
    if wanted is None:
        return tuple(name for name in allowed if not isinstance(schema.encoded[name], SequenceFeature))
    for name in wanted:
        if name not in allowed:
            raise ConfigError(
                f"{key}: no encoded feature {name!r} of role {' or '.join(roles)}{did_you_mean(name, allowed)}"
            )
    return tuple(wanted)


class EmbeddedFeatures(NamedTuple):
    """`vectors` float [batch, fields, dim]; `weights` float [batch, fields], the first-order terms."""

    vectors: tf.Tensor
    weights: tf.Tensor


class FeatureEmbedding(tf.keras.layers.Layer):
    """A table per field: ids are looked up, several ids averaged, numbers multiplied into a vector of their field.

    Padding (id 0) of a multi-valued field adds nothing; a field without values is a zero vector. The rows of padding in
    single-valued fields are learnt: there 0 means "missing".
    """

    def __init__(
        self,
        schema: Schema,
        num_ids: dict[str, int],
        features: Sequence[str],
        dim: int,
        *,
        stddev: float,
        seed: int,
        first_order: bool = True,
    ) -> None:
        """Make the tables.

        Args:
            schema: of the dataset.
            num_ids: feature → rows of its table; a number has one row, its own vector.
            features: the fields, in order.
            dim: of the vectors.
            stddev: of the initial vectors; first-order weights start at 0.
            seed: of the initial vectors.
            first_order: whether there are first-order weights; else they are 0.

        """
        super().__init__(name="feature_embedding")
        self.features = tuple(features)
        self._kinds: dict[str, Feature] = {name: schema.encoded[name] for name in features}
        tables, weights = {}, {}
        for index, name in enumerate(self.features):
            rows = num_ids.get(name, 1)
            initial = tf.random.stateless_normal([rows, dim], seed=[seed, index], stddev=stddev)
            tables[name] = tf.Variable(initial, name=f"embedding/{name}")
            if first_order:
                weights[name] = tf.Variable(tf.zeros([rows]), name=f"first_order/{name}")
        # Assigned whole: Keras tracks what a dict holds when it becomes an attribute.
        self.tables: dict[str, tf.Variable] = tables
        self.first_order: dict[str, tf.Variable] = weights

    def call(self, features: Tensors) -> EmbeddedFeatures:
        """Encoded features [batch] or [batch, width] → `EmbeddedFeatures`."""
        vectors = tf.stack([self._look_up(self.tables[name], name, features[name]) for name in self.features], axis=1)
        if not self.first_order:
            return EmbeddedFeatures(vectors, tf.zeros_like(vectors[:, :, 0]))
        weights = [self._look_up(self.first_order[name], name, features[name]) for name in self.features]
        return EmbeddedFeatures(vectors, tf.stack(weights, axis=1))

    def _look_up(self, table: tf.Variable, name: str, values: tf.Tensor) -> tf.Tensor:
        """A table [rows, …] and a field's values → [batch, …]; touches only the rows that occur."""
        if values.dtype.is_floating:
            return tf.tensordot(values[:, None], table, axes=1)
        looked_up = tf.gather(table, values)
        if list_width(self._kinds[name]) is None:
            return looked_up
        present = tf.cast(values != 0, table.dtype)
        share = tf.math.divide_no_nan(present, tf.reduce_sum(present, axis=1, keepdims=True))
        if looked_up.shape.rank == 3:
            share = share[:, :, None]
        return tf.reduce_sum(looked_up * share, axis=1)
