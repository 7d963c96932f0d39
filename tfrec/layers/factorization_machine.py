"""Second-order interactions of a factorisation machine (Rendle 2010)."""

from __future__ import annotations

import tensorflow as tf


def factorization_machine(embeddings: tf.Tensor) -> tf.Tensor:
    r"""Sum of the dot products of all pairs of fields, in time linear in the fields (Rendle 2010, lemma 3.1).

    .. math:: \sum_{i<j} \langle v_i, v_j \rangle
              = \tfrac12 \Bigl[\sum_d \bigl(\sum_i v_{id}\bigr)^2 - \sum_{id} v_{id}^2\Bigr]

    Args:
        embeddings: one vector per field, already multiplied by the field's value. float [batch, num_fields, dim]

    Returns:
        float [batch].

    """
    fields, dim = embeddings.shape[1], embeddings.shape[2]
    sums = tf.reduce_sum(embeddings, axis=1)
    flat = tf.reshape(embeddings, [-1, fields * dim])
    return 0.5 * (tf.reduce_sum(tf.square(sums), axis=1) - tf.reduce_sum(tf.square(flat), axis=1))
