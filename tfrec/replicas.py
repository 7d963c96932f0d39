"""What a step must know when it runs on several replicas at once, each with its part of the batch."""

from __future__ import annotations

import tensorflow as tf


def num_replicas() -> int:
    """Replicas that run this step together; 1 outside of a strategy."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def global_mean(values: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Share of this replica in the mean over the global batch; the shares of all replicas add up to the mean.

    Args:
        values: one per row of this replica. float [rows]
        weights: of the rows, or None for 1 each. float [rows]

    """
    if weights is not None:
        values = values * weights
    if num_replicas() == 1:
        return tf.reduce_mean(values) if weights is None else _ratio(tf.reduce_sum(values), tf.reduce_sum(weights))
    own = tf.cast(tf.size(values), values.dtype) if weights is None else tf.reduce_sum(weights)
    context = tf.distribute.get_replica_context()
    return _ratio(tf.reduce_sum(values), context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(own)))


def _ratio(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(total, count)


def share(penalty: tf.Tensor) -> tf.Tensor:
    """Share of this replica in a term that does not depend on the batch, such as a norm of weights."""
    return penalty / num_replicas()


def gathered(values: tf.Tensor) -> tf.Tensor:
    """[rows of all replicas, …]: the rows of this replica and of the others, in the order of the replicas.

    The gradient of a row comes back summed over the replicas that used it.
    """
    if num_replicas() == 1:
        return values
    context = tf.distribute.get_replica_context()
    # Without the identity a worker with one replica refuses an argument of the step: "destinations can not be empty".
    return _with_dense_gradient(context.all_gather(tf.identity(values), axis=0))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _with_dense_gradient(values: tf.Tensor) -> tuple[tf.Tensor, object]:
    # The gradient of all_gather takes no IndexedSlices, which a tf.gather of its result would send it.
    return tf.identity(values), tf.convert_to_tensor
