r"""What the next event is besides its item: the probability of each value of a context feature, such as its type.

.. math:: P(v \mid h, c) = \mathrm{softmax}_v \, (q(h, c) \cdot w_v + b_v)

h is the output of the encoder and c what is known of the request but the features that are predicted; q bends the one
by the other (`step_context`). Both heads learn together: the cross-entropy of the values is added to the loss of the
items. Where a predicted feature is read as context too, the items' scores are those given its value, so that
P(type) · P(item | type) is the probability of both. Of whom no step is known, the shares in training are the answer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.layers import IdTable, TableConfig, TableShape, choose_features
from tfrec.layers.tables import normal_rows, plan_rows
from tfrec.losses.full_softmax import full_softmax
from tfrec.losses.row_shares import row_shares
from tfrec.models.base import ModelConfig
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.schema import CategoricalFeature, Schema

VALUES_STDDEV = 0.02


class NextContextConfig(ModelConfig):
    """What a sequence model predicts beside the item."""

    predicted_features: tuple[str, ...] = Field(
        (), description="context features of the next event that are predicted beside its item, such as its type"
    )
    predicted_weight: float = Field(1.0, gt=0, description="of their cross-entropy beside the loss of the items")


class NextContext(tf.keras.layers.Layer):  # type: ignore[misc]
    """A softmax over the values of each predicted feature."""

    def __init__(self, config: NextContextConfig, inputs: ModelInputs, dim: int, seed: int) -> None:
        """Make the tables.

        Args:
            config: what is predicted.
            inputs: of the model.
            dim: of the queries.
            seed: of the initial vectors.

        Raises:
            ConfigError: a feature is no context of one value with a vocabulary, or has no value in training.

        """
        super().__init__(name="next_context")
        schema, self._weight = inputs.schema, config.predicted_weight
        self.names = predicted_features(config, schema)
        self.vectors: dict[str, tf.Variable] = {}
        self.biases: dict[str, tf.Variable] = {}
        self._first: dict[str, int] = {}
        self._shares: dict[str, tf.Variable] = {}
        for number, name in enumerate(self.names):
            feature, rows = schema.features[name], inputs.num_ids[name]
            assert isinstance(feature, CategoricalFeature)
            if not len(inputs.context[name].tokens):
                raise ConfigError(f"model.predicted_features: {name!r} has no value in training; leave it out")
            first = self._first[name] = feature.first_token_id
            shares = inputs.context[name].shares
            drawn = normal_rows(rows, dim, stddev=VALUES_STDDEV, seed=[seed, number])
            self.vectors[name] = tf.Variable(drawn, shape=[rows, dim], dtype=tf.float32, name=f"value_of_{name}")
            started = np.zeros([rows, 1], np.float32)
            started[first:, 0] = np.log(shares)
            self.biases[name] = tf.Variable(started, name=f"value_bias_of_{name}")
            self._shares[name] = frozen_variable(shares, f"shares_of_{name}")

    def loss(
        self, queries: tf.Tensor, targets: Tensors, is_asked: tf.Tensor, compute_type: tf.DType
    ) -> tf.Tensor | float:
        """Sum over the features of the mean cross-entropy of their values, weighted as the config says; a scalar.

        Args:
            queries: float32 [rows, length, dim].
            targets: predicted features; what has no token of its own is not asked. int64 [rows, length]
            is_asked: bool [rows, length].
            compute_type: of matrix products.

        """
        total: tf.Tensor | float = 0.0
        flat = tf.reshape(queries, [-1, queries.shape[-1]])
        for name in self.names:
            classes = tf.reshape(targets[name] - self._first[name], [-1])
            is_known = tf.reshape(is_asked, [-1]) & (classes >= 0)
            shares = row_shares(tf.shape(flat)[0], tf.cast(is_known, tf.float32))
            vectors, biases = self._values(name)
            total += full_softmax(flat, vectors, biases, tf.where(is_known, classes, 0), shares, compute_type)
        return self._weight * total

    def probabilities(self, queries: tf.Tensor, has_history: tf.Tensor) -> Tensors:
        """Of each token of the predicted features.

        Args:
            queries: float32 [batch, dim].
            has_history: bool [batch].

        Returns:
            feature → float32 [batch, tokens], in the order of the vocabulary.

        """
        found = {}
        for name in self.names:
            vectors, biases = self._values(name)
            learnt = tf.nn.softmax(tf.matmul(queries, vectors, transpose_b=True) + biases)
            found[name] = tf.where(has_history[:, None], learnt, self._shares[name])
        return found

    def _values(self, name: str) -> tuple[tf.Tensor, tf.Tensor]:
        first = self._first[name]
        return self.vectors[name][first:], self.biases[name][first:, 0]

    @property
    def state(self) -> list[tf.Variable]:
        """What is not trained, and answering needs."""
        return list(self._shares.values())

    def id_tables(self) -> list[IdTable]:
        found = []
        for name in self.names:
            rows = plan_rows(self.vectors[name].shape[0], TableConfig())
            found += [IdTable(table, name, 0, rows) for table in (self.vectors[name], self.biases[name])]
        return found

    @staticmethod
    def table_shapes(
        config: NextContextConfig, schema: Schema, num_ids: Mapping[str, int], dim: int
    ) -> list[TableShape]:
        names = predicted_features(config, schema)
        sides = (("value", dim), ("value_bias", 1))
        return [TableShape(f"{side}_of_{name}", num_ids[name], width) for name in names for side, width in sides]


def predicted_features(config: NextContextConfig, schema: Schema) -> tuple[str, ...]:
    """Names of what is predicted.

    Raises:
        ConfigError: one is no categorical context of a single value with a vocabulary.

    """
    names = choose_features(schema, config.predicted_features, roles=("context",), key="model.predicted_features")
    for name in names:
        feature = schema.features[name]
        if not isinstance(feature, CategoricalFeature) or feature.multivalued or feature.hash_buckets is not None:
            raise ConfigError(
                f"model.predicted_features: {name!r} is not one value of a vocabulary; name a categorical context "
                "feature without separator and hash_buckets"
            )
    return tuple(dict.fromkeys(names))
