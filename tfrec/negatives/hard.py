"""Hard negatives: importance resampling of a pool by what the current model takes for likely."""

from __future__ import annotations

import tensorflow as tf

from tfrec.replicas import num_replicas

MINING_ROWS = 256  # queries of a batch that the pool is scored with
DEFENCE = 0.1  # share of the draws that ignore the scores, so that no weight becomes huge (Hesterberg 1995)


def resample(likelihood: tf.Tensor, n: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw n of the pool, with replacement, mostly by likelihood (Chen et al. 2022, importance resampling).

    What the model scores high is drawn often and weighs the less, n_j / Q_j with Q_j = n · (probability of the draw).
    So the logQ of a hard negative is exact: the sum has the same expectation as over the pool, with less noise.

    Args:
        likelihood: sums to 1. float32 [pool]
        n: draws.
        seed: int32 [2].

    Returns:
        Distinct positions in the pool, int64 [m], and their log(n_j / Q_j), float32 [m].

    """
    size = tf.cast(tf.size(likelihood), tf.float32)
    probability = (1.0 - DEFENCE) * likelihood + DEFENCE / size
    cumulative = tf.cumsum(tf.cast(probability, tf.float64))
    uniform = tf.random.stateless_uniform([n], seed, dtype=tf.float64) * cumulative[-1]
    drawn = tf.minimum(
        tf.searchsorted(cumulative, uniform, side="right", out_type=tf.int64), tf.size(likelihood, tf.int64) - 1
    )
    kept, _, counts = tf.unique_with_counts(drawn)
    expected = tf.gather(probability, kept) * float(n)
    return kept, tf.math.log(tf.cast(counts, tf.float32) / expected)


def mean_softmax(queries: tf.Tensor, vectors: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Mean over (some of) the queries of all replicas of softmax(query · vectors + offsets); no gradient goes through.

    Args:
        queries: float [batch, dim].
        vectors: float [pool, dim].
        offsets: float [pool].

    Returns:
        float32 [pool], summing to 1.

    """
    step = tf.maximum(tf.shape(queries)[0] // MINING_ROWS, 1)
    among = tf.nn.softmax(tf.matmul(queries[::step], vectors, transpose_b=True) + offsets)
    total = tf.reduce_sum(tf.stop_gradient(among), axis=0)
    if num_replicas() > 1:
        total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, total)
    return total / tf.maximum(tf.reduce_sum(total), 1e-30)
