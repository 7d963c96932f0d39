r"""Losses of one pair of user and item at a time: how far its score is from what is known of it.

All return a loss for each row, of the shape of their scores; the caller takes the mean over the (global) batch.
"""

from __future__ import annotations

import tensorflow as tf


def squared(predictions: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    r"""Squared error (Koren et al. 2009).

    .. math:: L = (\hat y - y)^2
    """
    return tf.math.squared_difference(predictions, tf.cast(labels, predictions.dtype))


def logistic(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    r"""Cross-entropy of a yes or no; finite for any finite logit.

    .. math:: L = -y \log \sigma(s) - (1 - y) \log \sigma(-s) = \log(1 + e^s) - y s

    Args:
        logits: float, of any shape.
        labels: in 0 … 1, of the same shape or one that broadcasts.

    """
    labels = tf.cast(labels, logits.dtype)
    # y softplus(−s) + (1 − y) softplus(s): of two large numbers none is subtracted from the other.
    return labels * tf.nn.softplus(-logits) + (1.0 - labels) * tf.nn.softplus(logits)


def weighted_logistic(logits: tf.Tensor, confidences: tf.Tensor) -> tf.Tensor:
    r"""Logistic matrix factorisation: a pair counts as often as it was seen, and once as not seen (Johnson 2014).

    .. math:: L = (1 + c) \log(1 + e^s) - c\, s, \quad c = \alpha r

    Args:
        logits: float, of any shape.
        confidences: c, α times how often the user took the item; 0 for what was never taken. Of the same shape.

    """
    confidences = tf.cast(confidences, logits.dtype)
    return confidences * tf.nn.softplus(-logits) + tf.nn.softplus(logits)


def gbce(
    positive_logits: tf.Tensor,
    negative_logits: tf.Tensor,
    beta: float | tf.Tensor,
    is_negative: tf.Tensor | None = None,
) -> tf.Tensor:
    r"""Generalised binary cross-entropy: a yes against n sampled noes without overconfidence (Petrov & Macdonald 2023).

    .. math:: L = -\frac{1}{n + 1} \Bigl( \beta \log \sigma(s^+) + \sum_{k=1}^{n} \log(1 - \sigma(s^-_k)) \Bigr)

    With few negatives sampled from many items plain cross-entropy (β = 1) drives positives to probabilities near 1,
    where their order is lost; β of `gbce_beta` takes that back.

    Args:
        positive_logits: float [batch].
        negative_logits: float [batch, n].
        beta: the power of the positive's probability, in 0 … 1.
        is_negative: False for drawn items that are no negatives; n counts them all the same. None: all are. bool
            [batch, n]

    Returns:
        float [batch].

    """
    noes = tf.nn.softplus(negative_logits)
    if is_negative is not None:
        noes = tf.where(is_negative, noes, tf.zeros_like(noes))
    noes = tf.reduce_sum(noes, axis=1)
    count = tf.cast(tf.shape(negative_logits)[1] + 1, positive_logits.dtype)
    return (tf.cast(beta, positive_logits.dtype) * tf.nn.softplus(-positive_logits) + noes) / count


def gbce_beta(negatives: int, num_items: int, calibration: float) -> float:
    r"""β of the generalised cross-entropy (Petrov & Macdonald 2023).

    .. math:: \beta = \alpha \Bigl( t \bigl(1 - \tfrac{1}{\alpha}\bigr) + \tfrac{1}{\alpha} \Bigr), \quad
              \alpha = \frac{n}{|I| - 1}

    Args:
        negatives: n, drawn for each positive.
        num_items: |I|, size of the catalogue.
        calibration: t in 0 … 1; 0: β = 1, plain cross-entropy; 1: β = α, whose scores are calibrated probabilities.

    """
    rate = min(negatives / max(num_items - 1, 1), 1.0)
    return 1.0 - calibration * (1.0 - rate)
