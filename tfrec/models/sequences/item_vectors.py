"""Items of a sequence model: one vector for each, as a step that was taken and as what may come next, and a bias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from tfrec.layers import IdTable, TableConfig, TableShape
from tfrec.layers.tables import look_up, normal_rows, plan_rows
from tfrec.models.inputs import ModelInputs
from tfrec.schema import Schema


class Scored(NamedTuple):
    """Items that queries are multiplied with: vectors float32 [n, dim], biases float32 [n]."""

    vectors: tf.Tensor
    biases: tf.Tensor


class ItemVectors(tf.keras.layers.Layer):  # type: ignore[misc]
    """A table with a row per item id. Items that can be predicted are those of the vocabulary, in its order."""

    def __init__(self, inputs: ModelInputs, dim: int, stddev: float, seed: int) -> None:
        super().__init__(name="item_vectors")
        self._item_id, rows = inputs.schema.item_id, inputs.num_ids[inputs.schema.item_id]
        self.first = inputs.schema.item_id_feature.first_token_id
        self.num_classes = rows - self.first
        self._dim = dim
        self.table = tf.Variable(
            normal_rows(rows, dim, stddev=stddev, seed=[seed, 0]), shape=[rows, dim], dtype=tf.float32, name="items"
        )
        self.bias = tf.Variable(tf.zeros([rows, 1]), name="item_bias")

    def steps(self, ids: tf.Tensor) -> tf.Tensor:
        """Encoded item ids → float32 [*ids.shape, dim], scaled by √dim (Vaswani et al. 2017, section 3.4)."""
        return look_up(self.table, ids) * self._dim**0.5

    def catalogue(self) -> Scored:
        """All items that can be predicted."""
        return Scored(self.table[self.first :], self.bias[self.first :, 0])

    def of(self, classes: tf.Tensor) -> Scored:
        """Some of them, int64 [n]."""
        return self.of_ids(classes + self.first)

    def of_ids(self, ids: tf.Tensor) -> Scored:
        """Items by their encoded ids, int64 [n]."""
        return Scored(look_up(self.table, ids), look_up(self.bias, ids)[:, 0])

    def id_tables(self) -> list[IdTable]:
        rows = plan_rows(self.table.shape[0], TableConfig())
        return [IdTable(table, self._item_id, 0, rows) for table in (self.table, self.bias)]

    @staticmethod
    def table_shapes(schema: Schema, num_ids: Mapping[str, int], dim: int) -> list[TableShape]:
        rows = num_ids[schema.item_id]
        return [TableShape("items", rows, dim), TableShape("item_bias", rows, 1)]
