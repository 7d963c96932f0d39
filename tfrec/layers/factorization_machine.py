"""Second-order interactions of a factorisation machine (Rendle 2010)."""

from __future__ import annotations

import tensorflow as tf


def factorization_machine(embeddings: tf.Tensor) -> tf.Tensor:
    r"""Sum of the dot products of all pairs of fields, in time linear in the fields (Rendle 2010, lemma 3.1).

    .. math:: \sum_{i<j} \langle v_i, v_j \rangle
              = \tfrac12 \sum_d \Bigl[\bigl(\sum_i v_{id}\bigr)^2 - \sum_i v_{id}^2\Bigr]

    Args:
        embeddings: one vector per field, already multiplied by the field's value. float [batch, num_fields, dim]

    Returns:
        float [batch].

    """
    square_of_sum = tf.square(tf.reduce_sum(embeddings, axis=1))
    sum_of_squares = tf.reduce_sum(tf.square(embeddings), axis=1)
    return 0.5 * tf.reduce_sum(square_of_sum - sum_of_squares, axis=1)
