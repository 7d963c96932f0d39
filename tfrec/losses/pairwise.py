r"""Losses of pairs: the item that was taken should score above those that were not.

Scores are those of each row's positive, float [batch], and of its negatives, float [batch, n]. `is_negative`, bool
[batch, n], is False for drawn items that are no negatives, such as others that the user took; None: all are. The result
is a loss for each row, the mean over its negatives; a row without any loses nothing.
"""

from __future__ import annotations

import tensorflow as tf

EULER_GAMMA = 0.5772156649015329


def bpr(positive: tf.Tensor, negative: tf.Tensor, is_negative: tf.Tensor | None = None) -> tf.Tensor:
    r"""Bayesian personalised ranking (Rendle et al. 2009).

    .. math:: L = -\frac{1}{n} \sum_k \log \sigma(s^+ - s^-_k)
    """
    return mean_of_negatives(tf.nn.softplus(negative - positive[:, None]), is_negative)


def hinge(
    positive: tf.Tensor, negative: tf.Tensor, is_negative: tf.Tensor | None = None, *, margin: float = 1.0
) -> tf.Tensor:
    r"""A margin between positive and negatives (Weimer et al. 2008; the AUC loss of Weston et al. 2011).

    .. math:: L = \frac{1}{n} \sum_k \max(0,\; m - s^+ + s^-_k)
    """
    return mean_of_negatives(tf.nn.relu(margin - (positive[:, None] - negative)), is_negative)


def warp(
    positive: tf.Tensor,
    negative: tf.Tensor,
    num_items: int,
    is_negative: tf.Tensor | None = None,
    *,
    margin: float = 1.0,
) -> tf.Tensor:
    r"""Weighted approximate-rank pairwise loss (Weston et al. 2011, algorithm 1).

    .. math:: L = \Phi\Bigl(\Bigl\lfloor \frac{|I| - 1}{N} \Bigr\rfloor\Bigr)\, \max(0,\; m - s^+ + s^-_N), \quad
              \Phi(r) = \sum_{k=1}^{r} \frac{1}{k}

    N is the first of the row's negatives, in the order in which they were drawn, that violates the margin. The sooner
    one is found, the lower the positive must rank, and the more it counts. Where none of them does, the row loses
    nothing. Drawn items that are no negatives are no trials.

    Args:
        positive: float [batch].
        negative: in the order of the trials. float [batch, n]
        num_items: |I|, size of the catalogue.
        is_negative: bool [batch, n].
        margin: m.

    """
    losses = tf.nn.relu(margin - (positive[:, None] - negative))
    is_trial = tf.ones_like(losses, tf.bool) if is_negative is None else is_negative
    violates = is_trial & (losses > 0)
    is_first = violates & (tf.cumsum(tf.cast(violates, tf.int32), axis=1) == 1)
    trials = tf.cumsum(tf.cast(is_trial, tf.int32), axis=1)
    # Sums of one number, or of none where nothing violates. No gradient goes through the rank.
    tried = tf.reduce_sum(tf.where(is_first, trials, 0), axis=1)
    found = tf.reduce_sum(tf.where(is_first, losses, tf.zeros_like(losses)), axis=1)
    return tf.cast(harmonic_number((num_items - 1) // tf.maximum(tried, 1)), losses.dtype) * found


def harmonic_number(ranks: tf.Tensor) -> tf.Tensor:
    r"""Φ(r) = 1 + 1/2 + … + 1/r for integers r ≥ 0, float32, by :math:`\psi(r + 1) + \gamma`."""
    return tf.nn.relu(tf.math.digamma(tf.cast(ranks, tf.float32) + 1.0) + EULER_GAMMA)


def mean_of_negatives(losses: tf.Tensor, is_negative: tf.Tensor | None) -> tf.Tensor:
    """Mean over the negatives of each row, 0 for a row without any. [batch, n] → [batch]"""
    if is_negative is None:
        is_negative = tf.ones_like(losses, tf.bool)
    counted = tf.where(is_negative, losses, tf.zeros_like(losses))
    count = tf.reduce_sum(tf.cast(is_negative, losses.dtype), axis=1)
    return tf.math.divide_no_nan(tf.reduce_sum(counted, axis=1), count)
