"""A sparse matrix as the served graph holds it: compressed rows in variables, multiplied or looked up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import sparse

from tfrec.models.learning import frozen_variable


class Entries(NamedTuple):
    """Entries of some rows.

    Attributes:
        places: in the list of rows that was asked for, ascending. int64 [n]
        columns: int64 [n].
        values: float32 [n].

    """

    places: tf.Tensor
    columns: tf.Tensor
    values: tf.Tensor


class SparseRows(tf.Module):
    """float32 [num_rows, num_columns]; where entries stand is fixed, their values are assigned."""

    def __init__(self, matrix: sparse.csr_array, name: str) -> None:
        super().__init__(name=name)
        self.num_rows, self.num_columns = matrix.shape
        self.num_entries = matrix.nnz
        self._splits = frozen_variable(matrix.indptr.astype(np.int64), "row_splits")
        self._columns = frozen_variable(matrix.indices.astype(np.int32), "columns")
        self._values = frozen_variable(matrix.data.astype(np.float32), "values")

    @property
    def state(self) -> list[tf.Variable]:
        return [self._splits, self._columns, self._values]

    def assign(self, matrix: sparse.csr_array) -> None:
        """Set all of it; a matrix of the same number of entries."""
        self._splits.assign(matrix.indptr)
        self._columns.assign(matrix.indices)
        self._values.assign(matrix.data)

    def times(self, dense: tf.Tensor) -> tf.Tensor:
        """float32 [num_columns, n] → float32 [num_rows, n]."""
        return tf.sparse.sparse_dense_matmul(self._matrix(self._values.value()), dense)

    def transposed_times(self, dense: tf.Tensor, *, of_ones: bool = False) -> tf.Tensor:
        """float32 [num_rows, n] → float32 [num_columns, n]; `of_ones`: every entry counts as 1."""
        values = tf.ones_like(self._values) if of_ones else self._values.value()
        return tf.sparse.sparse_dense_matmul(self._matrix(values), dense, adjoint_a=True)

    def _matrix(self, values: tf.Tensor) -> tf.SparseTensor:
        rows = tf.ragged.row_splits_to_segment_ids(self._splits, out_type=tf.int64)
        places = tf.stack([rows, tf.cast(self._columns, tf.int64)], axis=1)
        return tf.SparseTensor(places, values, [self.num_rows, self.num_columns])

    def entries(self, rows: tf.Tensor) -> Entries:
        """Entries of rows, int64 [m]; each row's in the order of the columns."""
        places = tf.ragged.range(tf.gather(self._splits, rows), tf.gather(self._splits, rows + 1))
        columns = tf.cast(tf.gather(self._columns, places.values), tf.int64)
        return Entries(places.value_rowids(), columns, tf.gather(self._values, places.values))
