r"""What is said to those of whom nothing is known: what most others took.

.. math:: b_j = \epsilon \, c_j / \max_k c_k

c are the training counts. The prior lies far below real scores: it orders what they leave equal.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrec.models.profiles.user_profiles import Profiles

TIE_BREAK = 1e-6  # ε: far below scores and weights, far above what float32 makes of zero


def popularity_prior(counts: np.ndarray) -> np.ndarray:
    """ε times the share of the most popular item's count; 0 for items that nobody took. float32 [num_items]"""
    return np.asarray(TIE_BREAK * counts / max(counts.max(initial=0), 1), np.float32)


def rows_without_profile(profiles: Profiles, batch: tf.Tensor | int) -> tf.Tensor:
    """Which rows of the batch have no item in their profile. bool [batch]"""
    size = tf.cast(batch, tf.int32)
    return tf.equal(tf.math.bincount(tf.cast(profiles.rows, tf.int32), minlength=size, maxlength=size), 0)


def prior_without_profile(
    scores: tf.Tensor, prior: tf.Tensor, profiles: Profiles, is_new_item: tf.Tensor | None = None
) -> tf.Tensor:
    """Scores with the prior alone in the rows of empty profiles, and added elsewhere.

    Args:
        scores: float32 [batch, num_items].
        prior: of `popularity_prior`. float32 [num_items]
        profiles: of the batch.
        is_new_item: items that nobody took in training: where a model knows nothing of them, they go last in every
            row, below its lowest score. bool [num_items]

    """
    if is_new_item is not None:
        lowest = tf.reduce_min(scores, axis=1, keepdims=True)
        scores = tf.where(is_new_item, lowest, scores)
    is_empty = rows_without_profile(profiles, tf.shape(scores)[0])
    return tf.where(is_empty[:, None], prior, scores + prior)
