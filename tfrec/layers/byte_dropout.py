"""Dropout whose masks take a byte per value instead of a word: drawing them costs a quarter."""

from __future__ import annotations

import tensorflow as tf

LEVELS = 256


def kept_shares(count: int, shape: tf.Tensor, rate: float, seed: tf.Tensor) -> list[tf.Tensor]:
    """`count` masks to multiply with: 0 for a share of about `rate` of the values, else 1 / (1 − that share).

    The share is a multiple of 1 / 256, and the scale is that of the share, so that the mean is kept exactly.

    Args:
        count: of the masks; they are drawn together.
        shape: of each. int32 [rank]
        rate: in [0, 1).
        seed: int32 [2].

    Returns:
        float32 tensors.

    """
    dropped = round(rate * LEVELS)
    size = tf.reduce_prod(shape)
    words = -(-count * size // 4)
    drawn = tf.random.stateless_uniform([words], seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox")
    numbers = tf.reshape(tf.bitcast(drawn, tf.uint8), [-1])[: count * size]
    kept = tf.cast(numbers >= dropped, tf.float32) * (LEVELS / (LEVELS - min(dropped, LEVELS - 1)))
    return tf.unstack(tf.reshape(kept, tf.concat([[count], shape], axis=0)), num=count)
