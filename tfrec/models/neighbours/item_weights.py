"""Item × item weights as the served graph holds them: all of them, or the largest of each row."""

from __future__ import annotations

import abc

import numpy as np
import tensorflow as tf

from tfrec.models.learning import frozen_variable
from tfrec.models.neighbours.largest import largest_columns
from tfrec.models.profiles.user_profiles import Profiles

PAIRS_AT_ONCE = 1 << 22  # (profile item, neighbour) pairs in memory while a batch is scored


class ItemWeights(tf.Module, abc.ABC):
    """W, with the scores of a batch of profiles P: float32 [batch, num_items] P · W."""

    @property
    @abc.abstractmethod
    def state(self) -> list[tf.Variable]:
        """All of W."""

    @abc.abstractmethod
    def assign_rows(self, rows: slice, weights: np.ndarray) -> None:
        """Set some rows of W, [rows, num_items]."""

    @abc.abstractmethod
    def scores(self, profiles: Profiles, batch: tf.Tensor) -> tf.Tensor:
        """P · W."""

    @abc.abstractmethod
    def of_pairs(self, items: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        """Item indices i [n] and j [n, m] → W_ij float32 [n, m]."""


class DenseWeights(ItemWeights):
    """All num_items² weights."""

    def __init__(self, num_items: int) -> None:
        super().__init__(name="dense_weights")
        self._weights = frozen_variable(tf.zeros([num_items, num_items]), "weights")

    def assign_rows(self, rows: slice, weights: np.ndarray) -> None:
        self._weights[rows].assign(weights.astype(np.float32))

    @property
    def state(self) -> list[tf.Variable]:
        return [self._weights]

    def scores(self, profiles: Profiles, batch: tf.Tensor) -> tf.Tensor:
        shape = tf.stack([tf.cast(batch, tf.int64), tf.shape(self._weights, tf.int64)[0]])
        sparse = tf.SparseTensor(tf.stack([profiles.rows, profiles.items], axis=1), profiles.weights, shape)
        return tf.sparse.sparse_dense_matmul(sparse, self._weights)

    def of_pairs(self, items: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        rows = tf.broadcast_to(items[:, None], tf.shape(others))
        return tf.gather_nd(self._weights, tf.stack([rows, others], axis=-1))


class NeighbourTable(ItemWeights):
    """The weights of each row that are largest in size; where a row has fewer, zeros stand."""

    def __init__(self, num_items: int, neighbours: int) -> None:
        super().__init__(name="neighbour_table")
        self.width = table_width(num_items, neighbours)
        self._num_items = num_items
        self._ids = frozen_variable(tf.zeros([num_items, self.width], tf.int32), "neighbours")
        self._weights = frozen_variable(tf.zeros([num_items, self.width]), "weights")

    def assign(self, ids: np.ndarray, weights: np.ndarray) -> None:
        """Set the table: item indices int32 and weights float32 [num_items, width]."""
        self._ids.assign(ids)
        self._weights.assign(weights)

    def assign_rows(self, rows: slice, weights: np.ndarray) -> None:
        ids = largest_columns(np.abs(weights), self.width)
        self._ids[rows].assign(ids)
        self._weights[rows].assign(np.take_along_axis(weights, ids, axis=1).astype(np.float32))

    @property
    def state(self) -> list[tf.Variable]:
        return [self._ids, self._weights]

    def scores(self, profiles: Profiles, batch: tf.Tensor) -> tf.Tensor:
        at_once = max(PAIRS_AT_ONCE // self.width, 1)
        size = tf.cast(batch, tf.int64) * self._num_items

        def add(start: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows, items, weights = (values[start : start + at_once] for values in profiles)
            places = rows[:, None] * self._num_items + tf.cast(tf.gather(self._ids, items), tf.int64)
            values = weights[:, None] * tf.gather(self._weights, items)
            # A long profile is added part by part, so that memory does not grow with it.
            added = tf.tensor_scatter_nd_add(total, tf.reshape(places, [-1, 1]), tf.reshape(values, [-1]))
            return start + at_once, added

        count = tf.size(profiles.rows)
        _, total = tf.while_loop(lambda start, _: start < count, add, (0, tf.zeros([size])), parallel_iterations=1)
        return tf.reshape(total, tf.stack([batch, self._num_items]))

    def of_pairs(self, items: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        ids, weights = tf.cast(tf.gather(self._ids, items), others.dtype), tf.gather(self._weights, items)
        # Stable: where a row has fewer neighbours, the zeros behind them have the id 0, and come after a true one.
        order = tf.argsort(ids, axis=1, stable=True)
        ids, weights = tf.gather(ids, order, batch_dims=1), tf.gather(weights, order, batch_dims=1)
        places = tf.minimum(tf.searchsorted(ids, others), self.width - 1)
        is_neighbour = tf.equal(tf.gather(ids, places, batch_dims=1), others)
        return tf.where(is_neighbour, tf.gather(weights, places, batch_dims=1), 0.0)


def table_width(num_items: int, neighbours: int) -> int:
    """Neighbours that an item can have, itself left out."""
    return max(min(neighbours, num_items - 1), 1)
