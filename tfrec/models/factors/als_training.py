"""Alternating least squares on a sparse user × item matrix: users given items, items given users, and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import sparse

from tfrec.layers.tables import normal_rows
from tfrec.models.factors.als_solver import Entries, solve_rows

# Vectors of one side → those of the other.
HalfStep = Callable[[tf.Tensor], tf.Tensor]


class Ridge(NamedTuple):
    """What keeps vectors short: l2 · nᵛ of a row that occurs n times, where ν is the exponent."""

    l2: float
    exponent: float

    def of(self, frequencies: tf.Tensor) -> tf.Tensor:
        """For n = 0 as for n = 1. [rows] → [rows, 1]"""
        return self.l2 * tf.pow(tf.where(frequencies > 0, frequencies, 1.0), self.exponent)[:, None]

    def with_bias(self, frequencies: tf.Tensor, bias_l2: float, size: int) -> tf.Tensor:
        """The same for all columns but the last, which is the bias. [rows] → [rows, size]"""
        own = tf.repeat(self.of(frequencies), size - 1, axis=1)
        return tf.concat([own, tf.fill([tf.size(frequencies), 1], bias_l2)], axis=1)


def implicit_items(
    taken: sparse.csr_array, start: tf.Tensor, passes: int, ridge: Ridge, unobserved_weight: float
) -> tf.Tensor:
    """Item vectors of the implicit problem.

    Args:
        taken: weights of what was taken, at least 0. float32 [num_users, num_items]
        start: first item vectors. float32 [num_items, dim]
        passes: over users and items.
        ridge: of both sides.
        unobserved_weight: of every cell of the matrix.

    Returns:
        float32 [num_items, dim].

    """
    solve = tf.function(solve_rows, reduce_retracing=True, autograph=False)

    def half_step(matrix: sparse.csr_array) -> HalfStep:
        is_plain = bool((matrix.data == 1).all())
        entries, weights = _splits_and_columns(matrix), None if is_plain else tf.constant(matrix.data)
        own = ridge.of(_row_sums(matrix) + unobserved_weight * matrix.shape[1])
        return lambda others: solve(Entries(*entries, weights, weights), others, gram(others, unobserved_weight), own)

    solve_users, solve_items = half_step(taken), half_step(taken.T.tocsr())
    items = start
    for _ in range(passes):
        items = solve_items(solve_users(items))
    return items


def explicit_items(ratings: sparse.csr_array, start: tf.Tensor, passes: int, ridge: Ridge, bias_l2: float) -> tf.Tensor:
    """Item vectors of the explicit problem, and behind them, as one more column, the biases.

    Args:
        ratings: less their mean. float32 [num_users, num_items]; an entry may be 0
        start: first item vectors. float32 [num_items, dim]
        passes: over users and items.
        ridge: of both sides.
        bias_l2: of the biases.

    Returns:
        float32 [num_items, dim + 1].

    """
    solve = tf.function(solve_rows, reduce_retracing=True, autograph=False)
    size = start.shape[1] + 1

    def half_step(matrix: sparse.csr_array) -> HalfStep:
        splits, columns = _splits_and_columns(matrix)
        values, base = tf.constant(matrix.data), tf.zeros([size, size])
        own = ridge.with_bias(tf.cast(splits[1:] - splits[:-1], tf.float32), bias_l2, size)

        def solved(others: tf.Tensor) -> tf.Tensor:
            vectors, biases = beside_ones(others)
            return solve(Entries(splits, columns, None, values - tf.gather(biases, columns)), vectors, base, own)

        return solved

    solve_users, solve_items = half_step(ratings), half_step(ratings.T.tocsr())
    items = tf.concat([start, tf.zeros([len(start), 1])], axis=1)
    for _ in range(passes):
        items = solve_items(solve_users(items))
    return items


def beside_ones(vectors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Vectors with their bias in the last column → (vectors with a 1 there, biases)."""
    return tf.concat([vectors[:, :-1], tf.ones_like(vectors[:, -1:])], axis=1), vectors[:, -1]


def gram(vectors: tf.Tensor, weight: float) -> tf.Tensor:
    """YᵀY times a weight: what cells that were not taken add to everyone's equations. [dim, dim]"""
    return weight * tf.matmul(vectors, vectors, transpose_a=True)


def first_vectors(rows: int, dim: int, stddev: float, seed: int) -> tf.Tensor:
    """Normal numbers, whose products have a spread of stddev² / √dim whatever the dimension. float32 [rows, dim]"""
    return normal_rows(rows, dim, stddev=stddev / dim**0.5, seed=[seed, 0])()


def _splits_and_columns(matrix: sparse.csr_array) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(matrix.indptr.astype(np.int64)), tf.constant(matrix.indices.astype(np.int32))


def _row_sums(matrix: sparse.csr_array) -> tf.Tensor:
    return tf.constant(np.asarray(matrix.sum(axis=1), np.float32).ravel())
