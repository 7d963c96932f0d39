r"""Many small ridge regressions at once: the half step of alternating least squares.

.. math:: A_r x_r = \sum_{j \in S_r} t_{rj} \, y_j, \qquad
   A_r = B + \sum_{j \in S_r} c_{rj} \, y_j y_j^\top + \operatorname{diag}(\lambda_r)

A row r is a user (or an item), S_r what it took, y_j the vectors of the other side, which stand still. Rows are solved
in blocks of like length: one batched product makes their matrices, one batched Cholesky factor solves them. Only stock
TensorFlow operations: an exported model folds a new user in with the code that trained it.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

BLOCK_VALUES = 1 << 19  # of the gathered vectors, or of the matrices, that are worked on at a time; fits a cache


class Entries(NamedTuple):
    """What rows took, in compressed rows.

    Attributes:
        row_splits: int64 [rows + 1].
        columns: rows of the other side's vectors. int32 [entries]
        weights: c, at least 0; None: all 1. float32 [entries]
        pulls: t, the weight times the value that the product should have; None: all 1. float32 [entries]

    """

    row_splits: tf.Tensor
    columns: tf.Tensor
    weights: tf.Tensor | None = None
    pulls: tf.Tensor | None = None


def solve_rows(entries: Entries, vectors: tf.Tensor, base: tf.Tensor, ridge: tf.Tensor) -> tf.Tensor:
    """Solve for x of all rows; zero for a row that took nothing.

    Args:
        entries: of each row.
        vectors: y. float32 [columns, dim]
        base: B, the same for all rows, symmetric and positive semi-definite. float32 [dim, dim]
        ridge: λ, above 0. float32 [rows, dim] or [rows, 1]

    Returns:
        float32 [rows, dim].

    """
    dim = vectors.shape[1]
    # Behind the last vector stands a zero, which fills up rows that are shorter than others of their block.
    padded = tf.concat([vectors, tf.zeros([1, dim])], axis=0)
    lengths = entries.row_splits[1:] - entries.row_splits[:-1]
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    count = tf.size(order)

    def block(start: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        longest = tf.cast(lengths[order[start]], tf.int32)
        at_once = tf.maximum(BLOCK_VALUES // (dim * tf.maximum(longest, dim)), 1)
        rows = order[start : tf.minimum(start + at_once, count)]
        matrices, sides = _equations(entries, padded, rows, longest)
        matrices += base
        matrices = tf.linalg.set_diag(matrices, tf.linalg.diag_part(matrices) + tf.gather(ridge, rows))
        solved = tf.linalg.cholesky_solve(tf.linalg.cholesky(matrices), sides[:, :, None])[:, :, 0]
        return start + tf.size(rows), found.write(found.size(), solved)

    # An empty first element: there may be no row at all.
    found = tf.TensorArray(tf.float32, size=1, dynamic_size=True, infer_shape=False, element_shape=[None, dim])
    found = found.write(0, tf.zeros([0, dim]))
    _, found = tf.while_loop(lambda start, _: start < count, block, (tf.constant(0), found), parallel_iterations=1)
    by_length = tf.ensure_shape(found.concat(), [None, dim])
    return tf.gather(by_length, tf.argsort(order))


def solve_for_columns(
    entries: Entries, vectors: tf.Tensor, base: tf.Tensor, ridge: tf.Tensor, wanted: tf.Tensor
) -> tf.Tensor:
    """Solve A_r z = y_j for some columns j of each row.

    Args:
        entries: of each row, with weights; the pulls are not read.
        vectors: y. float32 [columns, dim]
        base: B. float32 [dim, dim]
        ridge: λ. float32 [rows, 1]
        wanted: j. int64 [rows, n]

    Returns:
        float32 [rows, n, dim].

    """
    rows, n = tf.shape(wanted)[0], tf.shape(wanted)[1]
    place = tf.repeat(tf.range(rows), n)
    # Each pair (r, j) becomes a row: what r took weighs but does not pull, j pulls but does not weigh.
    last = tf.reshape(tf.cast(wanted, tf.int32), [-1, 1])
    taken, weights, pulls = (
        tf.concat([tf.gather(tf.RaggedTensor.from_row_splits(values, entries.row_splits), place), own], axis=1)
        for values, own in (
            (entries.columns, last),
            (entries.weights, tf.zeros_like(last, tf.float32)),
            (tf.zeros_like(entries.weights), tf.ones_like(last, tf.float32)),
        )
    )
    each = Entries(taken.row_splits, taken.values, weights.values, pulls.values)
    return tf.reshape(solve_rows(each, vectors, base, tf.gather(ridge, place)), [rows, n, vectors.shape[1]])


def row_splits_of(rows: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """Where each row of a batch begins and ends among ascending rows [entries]; int64 [batch + 1]"""
    counts = tf.math.unsorted_segment_sum(tf.ones_like(rows, tf.int64), rows, batch)
    return tf.concat([[0], tf.cumsum(counts)], axis=0)


def _equations(entries: Entries, padded: tf.Tensor, rows: tf.Tensor, longest: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Σ c y yᵀ [rows, dim, dim] and Σ t y [rows, dim]."""
    starts = tf.gather(entries.row_splits, rows)
    lengths = tf.gather(entries.row_splits, rows + 1) - starts
    places = tf.range(tf.cast(longest, lengths.dtype))
    is_there = places < lengths[:, None]
    at = tf.where(is_there, starts[:, None] + places, 0)
    taken = tf.gather(padded, tf.where(is_there, tf.gather(entries.columns, at), tf.shape(padded)[0] - 1))
    weighted = taken if entries.weights is None else taken * tf.gather(entries.weights, at)[:, :, None]
    matrices = tf.matmul(weighted, taken, transpose_a=True)
    if entries.pulls is None:
        return matrices, tf.reduce_sum(taken, axis=1)
    pulls = tf.gather(entries.pulls, at)
    return matrices, tf.matmul(taken, pulls[:, :, None], transpose_a=True)[:, :, 0]
