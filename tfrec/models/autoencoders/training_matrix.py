"""The training interactions as a matrix whose rows are users or items, looked up a batch of rows at a time."""

from __future__ import annotations

from typing import Literal

import numpy as np
import tensorflow as tf

from tfrec.models.autoencoders.observed import Observed
from tfrec.models.inputs import ModelInputs
from tfrec.schema import CategoricalFeature

Rows = Literal["users", "items"]
SHRINKAGE = 10.0  # ratings of the global mean that every column is taken to have besides its own


def has_ratings(inputs: ModelInputs) -> bool:
    """Whether the label is a value and not binary, so that it can be predicted."""
    label = inputs.schema.label
    return label is not None and not label.is_binary and inputs.train.labels is not None


class TrainingMatrix:
    """Rows by index, columns by encoded id: so the rows of a table of columns belong to tokens, whatever their order.

    A pair that occurs several times counts once, with its last label. Without ratings every entry is 1.

    Attributes:
        column_feature: id feature of the columns.
        num_rows: users or items.
        num_columns: ids of the columns' feature, padding and unknown ids included.
        num_entries: distinct pairs.
        density: share of all pairs that is observed.
        mean: of all values.
        range: the lowest and the highest value.

    """

    def __init__(self, inputs: ModelInputs, rows: Rows) -> None:
        schema, train = inputs.schema, inputs.train
        users, items, values = _distinct_pairs(inputs)
        sides = {"users": (schema.user_id, users, train.num_users), "items": (schema.item_id, items, train.num_items)}
        _, row_index, self.num_rows = sides.pop(rows)
        ((self.column_feature, column_index, _),) = sides.values()
        self.num_columns = inputs.num_ids[self.column_feature]
        column = schema.features[self.column_feature]
        assert isinstance(column, CategoricalFeature)
        self._first_column_id = column.first_token_id
        order = np.lexsort((column_index, row_index))
        self._row_counts = np.bincount(row_index, minlength=self.num_rows)
        column_ids = _ids_of(inputs, self.column_feature)[column_index]
        self._columns_of, self._values_of = column_ids[order], values[order]
        self.num_entries = len(values)
        self.density = self.num_entries / max(self.num_rows * self.num_columns, 1)
        self.mean = float(values.mean()) if len(values) else 0.0
        self.range = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
        self._splits = tf.constant(np.concatenate([[0], np.cumsum(self._row_counts)]), tf.int64)
        self._columns = tf.constant(self._columns_of, tf.int32)
        self._values = tf.constant(self._values_of, tf.float32)

    @property
    def is_empty_row(self) -> np.ndarray:
        """Which rows have no entry. bool [num_rows]"""
        return self._row_counts == 0

    @property
    def entries_per_row(self) -> float:
        """Mean over the rows that have any."""
        return max(self.num_entries, 1) / max(int(np.count_nonzero(self._row_counts)), 1)

    def columns_by_id(self) -> np.ndarray:
        """int64 [num_columns]: entries of each column."""
        return np.bincount(self._columns_of, minlength=self.num_columns)

    def is_known_id(self) -> np.ndarray:
        """Bool [num_columns]: ids of one user (item) each, with entries."""
        return (self.columns_by_id() > 0) & (np.arange(self.num_columns) >= self._first_column_id)

    def deviations_by_id(self) -> np.ndarray:
        """float32 [num_columns]: each column's mean less the global mean, drawn towards 0 where entries are few."""
        sums = np.bincount(self._columns_of, self._values_of - self.mean, minlength=self.num_columns)
        return np.asarray(sums / (self.columns_by_id() + SHRINKAGE), np.float32)

    def levels(self) -> np.ndarray:
        """float32: the distinct values, ascending."""
        return np.unique(self._values_of)

    def shares_by_id(self, levels: np.ndarray) -> np.ndarray:
        """float32 [num_columns, levels]: share of each value in its column, drawn towards its share in all columns."""
        place = np.searchsorted(levels, self._values_of)
        cells = self._columns_of * len(levels) + place
        counts = np.bincount(cells, minlength=self.num_columns * len(levels)).astype(float)
        counts = counts.reshape(self.num_columns, -1)
        of_all = (counts.sum(axis=0) + 1) / (counts.sum() + len(levels))
        counts += SHRINKAGE * of_all
        return np.asarray(counts / counts.sum(axis=1, keepdims=True), np.float32)

    def observed(self, index: tf.Tensor) -> Observed:
        """Entries of rows by their index, int64 [batch]; in each row in the order of the columns."""
        places = tf.ragged.range(tf.gather(self._splits, index), tf.gather(self._splits, index + 1))
        columns = tf.cast(tf.gather(self._columns, places.values), tf.int64)
        return Observed(places.value_rowids(), columns, tf.gather(self._values, places.values))


def _distinct_pairs(inputs: ModelInputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(users, items, values float32) of the distinct pairs, each with its last label."""
    train = inputs.train
    keys = train.users * train.num_items + train.items
    distinct, from_end = np.unique(keys[::-1], return_index=True)
    users, items = np.divmod(distinct, max(train.num_items, 1))
    if not has_ratings(inputs):
        return users, items, np.ones(len(distinct), np.float32)
    assert train.labels is not None
    return users, items, train.labels[len(keys) - 1 - from_end]


def _ids_of(inputs: ModelInputs, feature: str) -> np.ndarray:
    """Encoded ids of all users or items, by index. int64"""
    if feature == inputs.schema.item_id:
        return inputs.catalogue.features[feature].astype(np.int64)
    return inputs.encoded_user_ids()
