"""Losses of whole lists: the scores of a list against its labels, as distributions over the places at the top."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf


def listwise_softmax(
    scores: tf.Tensor,
    labels: tf.Tensor,
    is_listed: tf.Tensor | None = None,
    *,
    target: Literal["softmax", "share"] = "softmax",
) -> tf.Tensor:
    r"""Cross-entropy between the top-one probabilities of labels and scores: ListNet (Cao et al. 2007).

    .. math:: L = -\sum_j p_j \log \frac{e^{s_j}}{\sum_k e^{s_k}}

    p_j is the softmax of the labels, as in the paper, or with `target="share"` the label's share of their sum, as for
    counts and for relevance of 0 or 1 (Bruch et al. 2019); a list of which no label is above 0 then loses nothing.

    Args:
        scores: float [batch, n].
        labels: at least 0 for shares. [batch, n]
        is_listed: False for places that are padding. bool [batch, n], or None for none.
        target: what the labels become.

    Returns:
        float [batch]; 0 for an empty list.

    """
    scores = tf.convert_to_tensor(scores)
    kind = scores.dtype
    # Shorter types have no number that is far below all of their scores.
    wide = tf.float64 if kind == tf.float64 else tf.float32
    scores, labels = tf.cast(scores, wide), tf.cast(labels, wide)
    # Of what is not in the list: e to it is 0, and sums with any real score stay finite.
    lowest = tf.constant(wide.min / 4, wide)
    is_listed = tf.ones_like(scores, tf.bool) if is_listed is None else is_listed
    nothing = tf.zeros_like(scores)
    if target == "softmax":
        wanted = tf.where(is_listed, tf.nn.softmax(tf.where(is_listed, labels, lowest)), nothing)
    else:
        gains = tf.where(is_listed, labels, nothing)
        wanted = tf.math.divide_no_nan(gains, tf.reduce_sum(gains, axis=1, keepdims=True))
    log_shares = tf.nn.log_softmax(tf.where(is_listed, scores, lowest))
    return tf.cast(-tf.reduce_sum(wanted * tf.where(is_listed, log_shares, nothing), axis=1), kind)
