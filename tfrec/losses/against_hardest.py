r"""Losses of GRU4Rec that look at the hardest of many sampled negatives (Hidasi & Karatzoglou 2018).

Every negative counts by its share s_j of the softmax over the row's negatives, so that among hundreds, most of which
are no rivals of the positive i any more, the gradient does not vanish:

.. math:: L_\text{bpr-max} = -\log \sum_j s_j\, \sigma(r_i - r_j) + \lambda \sum_j s_j\, r_j^2, \qquad
          L_\text{top1-max} = \sum_j s_j \bigl(\sigma(r_j - r_i) + \sigma(r_j^2)\bigr)
"""

from __future__ import annotations

import tensorflow as tf

SMALLEST = 1e-24  # of a weighted sum of probabilities, whose logarithm is taken
NO_NEGATIVE = -1e9  # logit whose share is 0


def bpr_max(
    positive_logits: tf.Tensor, negative_logits: tf.Tensor, is_negative: tf.Tensor, penalty: float
) -> tf.Tensor:
    """Pairs weighted by the negatives' shares, with a penalty λ of their scores (equation 10).

    Args:
        positive_logits: float [batch].
        negative_logits: float [batch, n].
        is_negative: False for drawn items that are none of the row. bool [batch, n]
        penalty: λ.

    Returns:
        float [batch]; 0 for a row without negatives.

    """
    shares = _shares(negative_logits, is_negative)
    won = tf.reduce_sum(shares * tf.sigmoid(positive_logits[:, None] - negative_logits), axis=1)
    loss = -tf.math.log(won + SMALLEST) + penalty * tf.reduce_sum(shares * tf.square(negative_logits), axis=1)
    return tf.where(tf.reduce_any(is_negative, axis=1), loss, tf.zeros_like(loss))


def top1_max(positive_logits: tf.Tensor, negative_logits: tf.Tensor, is_negative: tf.Tensor) -> tf.Tensor:
    """TOP1 weighted by the negatives' shares (equation 8).

    Args:
        positive_logits: float [batch].
        negative_logits: float [batch, n].
        is_negative: False for drawn items that are none of the row. bool [batch, n]

    Returns:
        float [batch]; 0 for a row without negatives.

    """
    lost = tf.sigmoid(negative_logits - positive_logits[:, None]) + tf.sigmoid(tf.square(negative_logits))
    return tf.reduce_sum(_shares(negative_logits, is_negative) * lost, axis=1)


def _shares(logits: tf.Tensor, is_negative: tf.Tensor) -> tf.Tensor:
    """Softmax over the negatives alone; it is learnt through, as in the authors' code. [batch, n]"""
    shares = tf.nn.softmax(tf.where(is_negative, logits, tf.cast(NO_NEGATIVE, logits.dtype)))
    return tf.where(is_negative, shares, tf.zeros_like(shares))
