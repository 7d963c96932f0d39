"""Items of a sequence model: one vector for each, as a step that was taken and as what may come next, and a bias.

An item's vector is that of its id, plus those of its features where some are named. An item that nobody took has no id
of its own: it is placed by its features alone, or stands last where none are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import (
    FeatureEmbedding,
    FieldPlan,
    IdTable,
    TableConfig,
    TableShape,
    choose_features,
    with_weights,
)
from tfrec.layers.tables import look_up, normal_rows, plan_rows
from tfrec.models.base import ModelConfig
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.schema import Schema

NEW_ITEM = -1e3  # bias of an item of which nothing is known: below all others


class ItemsConfig(ModelConfig):
    """How items become vectors."""

    embedding_dim: int = Field(128, ge=1, description="of items and steps")
    embedding_stddev: float = Field(0.02, gt=0, description="of the initial vectors")
    item_features: tuple[str, ...] = Field(
        (), description="of the items, whose vectors are added to those of the ids, in the past and as candidates"
    )


class Scored(NamedTuple):
    """Items that queries are multiplied with: vectors float32 [n, dim], biases float32 [n]."""

    vectors: tf.Tensor
    biases: tf.Tensor


class ItemVectors(tf.keras.layers.Layer):  # type: ignore[misc]
    """A table with a row per item id. Items that can be predicted are those of the vocabulary, in its order."""

    def __init__(self, config: ItemsConfig, inputs: ModelInputs, seed: int) -> None:
        super().__init__(name="item_vectors")
        schema, dim, stddev = inputs.schema, config.embedding_dim, config.embedding_stddev
        self._item_id, rows = schema.item_id, inputs.num_ids[schema.item_id]
        self.first = schema.item_id_feature.first_token_id
        self.num_classes = rows - self.first
        self._dim = dim
        initial = normal_rows(rows, dim, stddev=stddev, seed=[seed, 0])
        self.table = tf.Variable(initial, shape=[rows, dim], dtype=tf.float32, name="items")
        self.bias = tf.Variable(tf.zeros([rows, 1]), name="item_bias")
        names = choose_features(schema, config.item_features, roles=("item",), key="model.item_features")
        self.embedding: FeatureEmbedding | None = None
        self._of_ids: Tensors = {}
        if names:
            plan = FieldPlan(schema, inputs.num_ids, names)
            self.embedding = FeatureEmbedding(plan, dim, stddev=stddev, seed=seed + 1, first_order=False)
            self._of_ids = _by_id(inputs, with_weights(schema, names), rows)

    def steps(self, ids: tf.Tensor) -> tf.Tensor:
        """Encoded item ids → float32 [*ids.shape, dim], scaled by √dim (Vaswani et al. 2017, section 3.4)."""
        vectors = self._vectors(tf.reshape(ids, [-1]))
        return tf.reshape(vectors, [*tf.unstack(tf.shape(ids)), self._dim]) * self._dim**0.5

    def catalogue(self) -> Scored:
        """All items that can be predicted."""
        vectors = self.table[self.first :]
        if self.embedding is not None:
            vectors += self._of_features({name: values[self.first :] for name, values in self._of_ids.items()})
        return Scored(vectors, self.bias[self.first :, 0])

    def of(self, classes: tf.Tensor) -> Scored:
        """Some of them, int64 [n]."""
        ids = classes + self.first
        return Scored(self._vectors(ids), look_up(self.bias, ids)[:, 0])

    def of_items(self, features: Tensors, is_known: tf.Tensor) -> Scored:
        """Items as they are answered with, by their encoded features; where `is_known` is False the id says nothing.

        Biases of those are the mean of all where their features say something.
        """
        ids = tf.cast(features[self._item_id], tf.int64)
        vectors = tf.where(is_known[:, None], look_up(self.table, ids), 0.0)
        unknown = tf.constant(NEW_ITEM)
        if self.embedding is not None:
            vectors += self._of_features(features)
            unknown = tf.reduce_mean(self.bias[self.first :])
        return Scored(vectors, tf.where(is_known, look_up(self.bias, ids)[:, 0], unknown))

    def _vectors(self, ids: tf.Tensor) -> tf.Tensor:
        vectors = look_up(self.table, ids)
        if self.embedding is None:
            return vectors
        return vectors + self._of_features({name: tf.gather(values, ids) for name, values in self._of_ids.items()})

    def _of_features(self, features: Tensors) -> tf.Tensor:
        """[n, dim]: the sum of the fields."""
        assert self.embedding is not None
        wanted = self.embedding.plan.required_features
        return tf.reduce_sum(self.embedding({name: features[name] for name in wanted}).vectors, axis=1)

    @property
    def reads(self) -> frozenset[str]:
        """Encoded item features that `of_items` reads."""
        return frozenset({self._item_id}) | (self.embedding.plan.required_features if self.embedding else frozenset())

    @property
    def state(self) -> list[tf.Variable]:
        """Features of the ids, which the steps of a request are looked up in."""
        return list(self._of_ids.values())

    def id_tables(self) -> list[IdTable]:
        rows = plan_rows(self.table.shape[0], TableConfig())
        found = [IdTable(table, self._item_id, 0, rows) for table in (self.table, self.bias)]
        return found + ([] if self.embedding is None else self.embedding.id_tables())

    @staticmethod
    def table_shapes(config: ItemsConfig, schema: Schema, num_ids: Mapping[str, int]) -> list[TableShape]:
        rows, dim = num_ids[schema.item_id], config.embedding_dim
        names = choose_features(schema, config.item_features, roles=("item",), key="model.item_features")
        of_features = FieldPlan(schema, num_ids, names).table_shapes(dim, first_order=False)
        return [
            TableShape("items", rows, dim),
            TableShape("item_bias", rows, 1),
            *(TableShape(f"item_features/{shape.name}", shape.rows, dim) for shape in of_features),
        ]


def _by_id(inputs: ModelInputs, names: tuple[str, ...], rows: int) -> Tensors:
    """Features of the items in rows of their ids; zeros for padding and for what shares an id."""
    ids = inputs.catalogue.features[inputs.schema.item_id]
    is_own = ids >= inputs.schema.item_id_feature.first_token_id
    found: Tensors = {}
    for name in names:
        values = inputs.catalogue.features[name]
        by_id = np.zeros([rows, *values.shape[1:]], values.dtype)
        by_id[ids[is_own]] = values[is_own]
        found[name] = frozen_variable(by_id, f"item_{name}")
    return found
