r"""Inner products of rows of two tables at sparse places, and their gradients as products of sparse matrices.

.. math:: s_{bk} = p_{u_b} \cdot q_{i_{bk}}, \qquad \nabla P = S Q, \quad \nabla Q = S^\top P, \quad
          S_{ui} = \sum_{b, k:\; u_b = u,\, i_{bk} = i} \frac{\partial L}{\partial s_{bk}}

What bounds the training of a matrix factorisation is the moving of rows in memory. A lookup and its gradient, written
one after the other, move each row of a batch about ten times; here a few rows at a time are multiplied while they are
in the processor's cache, and the sparse matrix of the scores' gradients goes through the tables itself. All sums are
taken in one order, whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfrec import row_sums

CHUNK = 1 << 18  # numbers of one side at a time: 1 MB, about what a core's cache holds


def has_sparse_kernels() -> bool:
    """Whether this step runs where TensorFlow has its sparse products: on a CPU, and not compiled by XLA."""
    return not (row_sums._is_compiled.get() or tf.config.list_physical_devices("GPU"))


def order_of(rows: tf.Tensor, count: tf.Tensor | int) -> tf.Tensor:
    """A stable order in which `rows`, in 0 … count − 1, never decrease: a counting sort. int [batch] → int32 [batch]"""
    if not has_sparse_kernels():
        return tf.argsort(rows, stable=True)
    batch = tf.size(rows, tf.int64)
    places = _matrix(tf.range(batch), rows, tf.ones([batch]), batch, count)
    by_row = tf.raw_ops.SparseMatrixTranspose(input=places, type=tf.float32)
    return tf.raw_ops.CSRSparseMatrixComponents(csr_sparse_matrix=by_row, index=0, type=tf.float32).col_inds


def sparse_scores(users: tf.Tensor, items: tf.Tensor, user_rows: tf.Tensor, item_rows: tf.Tensor) -> tf.Tensor:
    """Inner products; the gradients of both tables are dense.

    Args:
        users: float32 [num_users, dim].
        items: float32 [num_items, dim].
        user_rows: never decreasing. int64 [batch]
        item_rows: int64 [batch, n].

    Returns:
        float32 [batch, n].

    """
    if not has_sparse_kernels():
        vectors = tf.gather(users, user_rows)[:, None, :]
        return tf.reduce_sum(vectors * tf.gather(items, item_rows), axis=2)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def scores(p: tf.Tensor, q: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            flat = tf.reshape(item_rows, [-1])
            rows = tf.repeat(user_rows, tf.shape(item_rows)[1])
            matrix = _matrix(rows, flat, tf.reshape(upstream, [-1]), tf.shape(p)[0], tf.shape(q)[0])
            turned = tf.raw_ops.SparseMatrixTranspose(input=matrix, type=tf.float32)
            by_user = tf.raw_ops.SparseMatrixMatMul(a=matrix, b=q)
            by_item = tf.raw_ops.SparseMatrixMatMul(a=turned, b=p)
            return tf.ensure_shape(by_user, p.shape), tf.ensure_shape(by_item, q.shape)

        return _chunked(p, q, user_rows, item_rows), gradient

    return scores(tf.convert_to_tensor(users), tf.convert_to_tensor(items))


def sums_of_rows(
    places: tf.Tensor, rows: tf.Tensor, count: tf.Tensor, table: tf.Tensor, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Row g of the result is the sum of the table's rows whose place is g, each times its weight.

    Args:
        places: never decreasing, in 0 … count − 1. int64 [n]
        rows: of the table. int64 [n]
        count: rows of the result.
        table: float32 [num_rows, dim]; its gradient is dense.
        weights: float32 [n], or None for 1 each.

    Returns:
        float32 [count, dim].

    """
    weights = tf.ones(tf.shape(rows)) if weights is None else weights
    if not has_sparse_kernels():
        return tf.math.unsorted_segment_sum(weights[:, None] * tf.gather(table, rows), places, count)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def sums(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        matrix = _matrix(places, rows, weights, count, tf.shape(values)[0])

        def gradient(upstream: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
            upstream = tf.convert_to_tensor(upstream)  # of a lookup it comes as rows
            turned = tf.raw_ops.SparseMatrixTranspose(input=matrix, type=tf.float32)
            return tf.ensure_shape(tf.raw_ops.SparseMatrixMatMul(a=turned, b=upstream), values.shape)

        return tf.ensure_shape(tf.raw_ops.SparseMatrixMatMul(a=matrix, b=values), [None, values.shape[1]]), gradient

    return sums(tf.convert_to_tensor(table))


def _matrix(rows: tf.Tensor, columns: tf.Tensor, values: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """A sparse matrix, as TensorFlow's sparse products take it, of entries whose rows never decrease."""
    return tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=tf.stack([tf.cast(rows, tf.int64), tf.cast(columns, tf.int64)], axis=1),
        values=values,
        dense_shape=tf.stack([tf.cast(height, tf.int64), tf.cast(width, tf.int64)]),
    )


def _chunked(users: tf.Tensor, items: tf.Tensor, user_rows: tf.Tensor, item_rows: tf.Tensor) -> tf.Tensor:
    batch, width = tf.shape(item_rows)[0], item_rows.shape[1]
    dim = int(users.shape[1])
    assert width is not None
    rows = max(CHUNK // (dim * width), 1)
    chunks = -(-batch // rows)

    def chunk(index: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        begin = index * rows
        vectors = tf.gather(users, user_rows[begin : begin + rows])
        columns = item_rows[begin : begin + rows]
        parts = [tf.reduce_sum(vectors * tf.gather(items, columns[:, k]), axis=1) for k in range(width)]
        return index + 1, found.write(index, tf.stack(parts, axis=1))

    parts = tf.TensorArray(tf.float32, chunks, infer_shape=False, element_shape=[None, width])
    _, parts = tf.while_loop(lambda index, _: index < chunks, chunk, (0, parts), parallel_iterations=1)
    return tf.ensure_shape(parts.concat(), [None, width])
