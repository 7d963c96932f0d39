"""Shapes of features with several numbers: vectors of one length, and weights beside the values that they weigh."""

from __future__ import annotations

import tensorflow as tf

from tfrec.feature_transform.missing import is_missing


def dense_vectors(values: tf.Tensor, length: int, name: str) -> tf.Tensor:
    """Raw vectors with exactly `length` columns; rows without a vector are NaN.

    Args:
        values: float32 [batch, n]; a row has `length` numbers in its first places and NaN behind them, or NaN alone.
        length: of a vector.
        name: of the feature, for the error.

    Returns:
        float32 [batch, length].

    Raises:
        InvalidArgumentError: when it runs, on a row with another number of numbers.

    """
    numbers = tf.reduce_sum(tf.cast(~is_missing(values), tf.int32), axis=1)
    first = values[:, :length]
    in_place = tf.reduce_sum(tf.cast(~is_missing(first), tf.int32), axis=1)
    is_sound = tf.equal(numbers, in_place) & (tf.equal(numbers, 0) | tf.equal(numbers, length))
    message = f"{name}: a vector has {length} numbers, or all NaN where it is missing; got rows with"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(is_sound), [message, numbers])]):
        padded = tf.pad(first, [[0, 0], [0, length - tf.shape(first)[1]]], constant_values=float("nan"))
    return tf.ensure_shape(padded, [None, length])


def weights_of_tokens(weights: tf.Tensor, tokens: tf.Tensor) -> tf.RaggedTensor:
    """The weight of each token that is there.

    Args:
        weights: of the tokens in the same columns, NaN where there is none; columns beyond the tokens' do not count.
            float32 [batch or 1, m]
        tokens: string [batch or 1, n], "" where there is none.

    Returns:
        float32 [batch, tokens of the row], NaN where a token has no weight.

    """
    columns = tf.shape(tokens)[1]
    of_tokens = weights[:, :columns]
    missing_columns = columns - tf.shape(of_tokens)[1]
    of_tokens = tf.pad(of_tokens, [[0, 0], [0, missing_columns]], constant_values=float("nan"))
    is_there = ~is_missing(tokens)
    of_tokens = tf.where(is_there, of_tokens, float("nan"))  # either may have one row for all
    return tf.ragged.boolean_mask(of_tokens, is_there | tf.zeros_like(of_tokens, tf.bool))
