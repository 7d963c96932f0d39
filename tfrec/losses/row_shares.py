"""How much each row of a batch counts in its loss."""

from __future__ import annotations

import tensorflow as tf

from tfrec.replicas import num_replicas


def row_shares(rows: tf.Tensor, sample_weight: tf.Tensor | None = None, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Weights of the local rows in the mean over the global batch; over all replicas they add up to 1, or are all 0.

    Args:
        rows: how many there are on this replica; a scalar.
        sample_weight: float [rows], or None for 1 each.
        dtype: of the result.

    Returns:
        `dtype` [rows].

    """
    weight = tf.ones([rows], dtype) if sample_weight is None else tf.cast(sample_weight, dtype)
    total = tf.reduce_sum(weight)
    if num_replicas() > 1:
        total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, total)
    return tf.math.divide_no_nan(weight, total)
