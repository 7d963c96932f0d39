r"""Negative sampling: the true item of a query against a few drawn ones, each a yes or no (Mikolov et al. 2013, eq. 4).

.. math:: L_b = -\log \sigma(q_b \cdot c_{t_b}) - \sum_{k} \log \sigma(-q_b \cdot c_{n_{bk}})

Where negatives are drawn with probability Q and k at a time, the best possible logit is log p(t | b) − log(k Q_t): for
skip-gram a shifted pointwise mutual information (Levy & Goldberg 2014).
"""

from __future__ import annotations

import tensorflow as tf


def negative_sampling(positive_logits: tf.Tensor, negative_logits: tf.Tensor, is_negative: tf.Tensor) -> tf.Tensor:
    """Loss of each row.

    Args:
        positive_logits: float [batch].
        negative_logits: float [batch, negatives].
        is_negative: False where the true item itself was drawn, which is left out. bool [batch, negatives]

    Returns:
        float [batch]; finite for any finite logits.

    """
    against = tf.nn.softplus(negative_logits) * tf.cast(is_negative, negative_logits.dtype)
    return tf.nn.softplus(-positive_logits) + tf.reduce_sum(against, axis=1)
