"""The users nearest to a query, found in a sparse user × item matrix, and what they have to say about every item."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import sparse

from tfrec.models.learning import frozen_variable
from tfrec.models.neighbours.sparse_rows import SparseRows

BLOCK_VALUES = 1 << 22  # similarities in memory at a time


class Query(NamedTuple):
    """Vectors over items float32 [batch, num_items], and the row that each user is, −1 for none: int64 [batch]."""

    vectors: tf.Tensor
    own_rows: tf.Tensor


class Neighbourhoods(tf.Module):
    r"""w_uv = (max(x_u · x_v, 0) / (‖x_u‖ ‖x_v‖ + h))^ρ, of which each query keeps the largest."""

    def __init__(self, matrix: sparse.csr_array, neighbours: int, shrinkage: float, amplification: float) -> None:
        """Lay the matrix out; `assign` fills it."""
        super().__init__(name="neighbourhoods")
        self.rows = SparseRows(matrix, "users_items")
        self._norms = frozen_variable(tf.zeros([self.rows.num_rows]), "norms")
        self._count = min(neighbours, self.rows.num_rows)
        self._shrinkage, self._amplification = shrinkage, amplification
        self._queries_at_once = max(BLOCK_VALUES // max(*matrix.shape, 1), 1)

    @property
    def state(self) -> list[tf.Variable]:
        return [*self.rows.state, self._norms]

    def assign(self, matrix: sparse.csr_array) -> None:
        """Set the matrix, of the entries that it was laid out with."""
        self.rows.assign(matrix)
        self._norms.assign(np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), np.float32).ravel()))

    def nearest(self, query: Query) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows of the nearest users int64 [batch, count] and w_uv float32, largest first; 0 where there are fewer."""
        products = tf.transpose(self.rows.times(tf.transpose(query.vectors)))
        similarities = tf.math.divide_no_nan(tf.nn.relu(products), self._scales(query.vectors, self._norms))
        is_own = tf.range(self.rows.num_rows, dtype=tf.int64) == query.own_rows[:, None]
        best, rows = tf.math.top_k(tf.where(is_own, 0.0, similarities), self._count)
        return tf.cast(rows, tf.int64), self._amplified(best, self._amplification)

    def support(self, query: Query) -> tf.Tensor:
        r"""Σ_v w_uv over the nearest users v who have an entry for the item; float32 [batch, num_items]."""
        return self._summed(query, has_values=False)[0]

    def support_and_values(self, query: Query) -> tuple[tf.Tensor, tf.Tensor]:
        r"""The support, and Σ_v w_uv x_vj; float32 [batch, num_items] each."""
        support, values = self._summed(query, has_values=True)
        return support, values

    def _summed(self, query: Query, *, has_values: bool) -> list[tf.Tensor]:
        """What the nearest users say of every item; some queries at a time."""
        batch, width, at_once = tf.shape(query.own_rows)[0], self.rows.num_columns, self._queries_at_once

        def add(start: tf.Tensor, *found: tf.Tensor) -> tuple[tf.Tensor, ...]:
            weights = self._weights(Query(*(values[start : start + at_once] for values in query)))
            parts = [self.rows.transposed_times(weights, of_ones=True)]
            if has_values:
                parts.append(self.rows.transposed_times(weights))
            joined = (tf.concat([old, tf.transpose(new)], axis=0) for old, new in zip(found, parts, strict=True))
            return start + at_once, *joined

        count = 1 + has_values
        invariants = (tf.TensorShape([]), *[tf.TensorShape([None, width])] * count)
        _, *found = tf.while_loop(
            lambda start, *_: start < batch,
            add,
            (tf.constant(0), *[tf.zeros([0, width])] * count),
            shape_invariants=invariants,
            parallel_iterations=1,
        )
        return found

    def _weights(self, query: Query) -> tf.Tensor:
        """w_uv of the nearest users, 0 elsewhere; float32 [num_rows, batch]."""
        users, best = self.nearest(query)
        batch = tf.shape(users, tf.int64)[0]
        queries = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(users))
        # Where there are fewer, some user stands there with weight 0; no user stands twice in a row.
        return tf.scatter_nd(tf.stack([users, queries], axis=-1), best, tf.stack([self.rows.num_rows, batch]))

    def parts(self, query: Query, items: tf.Tensor, reasons: int, *, of_values: bool) -> tuple[tf.Tensor, tf.Tensor]:
        r"""The items of the query that add most to what the neighbours say of each item, other than itself.

        Without amplification Σ_v w_uv t_vj = Σ_i Σ_v x_ui x_vi t_vj / (‖x_u‖ ‖x_v‖ + h): the inner sum is the part of
        i. Amplified neighbours say more in proportion. t_vj is x_vj, or 1 where v took j.

        Args:
            query: of the batch.
            items: item indices. int64 [batch, n]
            reasons: of each item.
            of_values: t is x.

        Returns:
            Item indices int64 and parts float32 [batch, n, reasons], largest first.

        """
        users, weights = self.nearest(query)
        count, width = self._count, self.rows.num_columns

        def of_row(row: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
            vector, users, weights, items = row
            found = self.rows.entries(users)
            places, shape = tf.stack([found.places, found.columns], axis=1), tf.constant([count, width], tf.int64)
            matrix = tf.scatter_nd(places, found.values, shape)
            taken = matrix if of_values else tf.scatter_nd(places, tf.ones_like(found.values), shape)
            scales = self._scales(vector[None], tf.gather(self._norms, users))[0]
            more = tf.where(weights > 0, self._amplified(weights, 1 - 1 / self._amplification), 0.0)
            shares = tf.math.divide_no_nan(more, scales)
            parts = vector * tf.matmul(tf.gather(taken, items, axis=1) * shares[:, None], matrix, transpose_a=True)
            parts = tf.where(tf.range(width, dtype=tf.int64) == items[:, None], 0.0, parts)
            short = max(reasons - width, 0)
            best, places = tf.math.top_k(tf.pad(parts, [[0, 0], [0, short]]), reasons)
            return tf.cast(tf.minimum(places, width - 1), tf.int64), best

        outputs = (tf.TensorSpec([None, reasons], tf.int64), tf.TensorSpec([None, reasons], tf.float32))
        rows = (query.vectors, users, weights, items)
        # One after another: each takes two dense matrices of the neighbours' items.
        return tf.map_fn(of_row, rows, parallel_iterations=1, fn_output_signature=outputs)

    @staticmethod
    def _amplified(weights: tf.Tensor, power: float) -> tf.Tensor:
        return weights if power == 1 else tf.pow(weights, power)

    def _scales(self, vectors: tf.Tensor, norms: tf.Tensor) -> tf.Tensor:
        """‖x_u‖ ‖x_v‖ + h; float32 [batch, len(norms)]."""
        return tf.norm(vectors, axis=1)[:, None] * norms + self._shrinkage
