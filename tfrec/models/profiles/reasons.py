"""Reasons of recommendations that lie in what the user took: which of these items spoke for each recommended one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrec.models.base import Reasons
from tfrec.models.learning import frozen_variable
from tfrec.models.profiles.cold_start import rows_without_profile
from tfrec.models.profiles.user_profiles import Profiles, UserProfiles

ITEM_PREFIX, POPULARITY = "item:", "popularity"


class ReasonSource(tf.Module):
    """Profiles of users, and the raw ids that reasons are called by. `item_ids` string [num_items]"""

    def __init__(self, profiles: UserProfiles, item_ids: np.ndarray) -> None:
        super().__init__(name="reason_source")
        self.profiles = profiles
        with tf.device("CPU:0"):  # strings live nowhere else
            self.item_ids = frozen_variable(tf.constant(item_ids, tf.string), "reason_item_ids")

    @property
    def state(self) -> list[tf.Variable]:
        return [*self.profiles.state, self.item_ids]


def nearest_in_profile(
    profiles: Profiles, item_vectors: tf.Tensor, items: tf.Tensor, reasons: int, item_ids: tf.Tensor
) -> Reasons:
    """The items of the user's profile that are most like each recommended one; the weight is the cosine.

    Args:
        profiles: of the batch.
        item_vectors: float32 [num_items, dim].
        items: recommended item indices. int64 [batch, n]
        reasons: of each item, at most; those of a cosine above 0.
        item_ids: string [num_items].

    """
    batch = tf.shape(items)[0]
    of_profile = tf.math.l2_normalize(tf.gather(item_vectors, profiles.items), axis=-1)
    recommended = tf.math.l2_normalize(tf.gather(item_vectors, items), axis=-1)
    cosines = tf.matmul(_by_row(profiles, of_profile, batch), recommended, transpose_b=True)
    return _largest(profiles, cosines, items, reasons, item_ids, has_prior=False)


def contributions(
    profiles: Profiles,
    weight_of: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    items: tf.Tensor,
    reasons: int,
    item_ids: tf.Tensor,
) -> Reasons:
    r"""The items of the user's profile that add most to each score; the weight is what they add, p_ui · W_ij.

    Args:
        profiles: of the batch.
        weight_of: item indices i [p] and j [p, n] → W_ij float32 [p, n].
        items: recommended item indices. int64 [batch, n]
        reasons: of each item, at most; those that add more than 0. Where none does, `popularity` is what is left.
        item_ids: string [num_items].

    """
    added = profiles.weights[:, None] * weight_of(profiles.items, tf.gather(items, profiles.rows))
    by_row = _by_row(profiles, added, tf.shape(items)[0])
    return _largest(profiles, by_row, items, reasons, item_ids, has_prior=True)


def _largest(
    profiles: Profiles, values: tf.Tensor, items: tf.Tensor, reasons: int, item_ids: tf.Tensor, *, has_prior: bool
) -> Reasons:
    """The largest positive values of each recommended item; `values` [batch, longest profile, n].

    With a prior `popularity` stands where no item of the profile speaks for the recommended one; without, only where
    the profile is empty. It weighs 1.
    """
    batch = tf.shape(items)[0]
    taken = _by_row(profiles, profiles.items, batch)  # [batch, longest profile]
    # That an item is wanted because the user took it says nothing.
    values = tf.where(tf.equal(taken[:, :, None], items[:, None, :]), 0.0, values)
    missing = [[0, 0], [0, tf.maximum(reasons - tf.shape(taken)[1], 0)]]
    taken = tf.pad(taken, missing)
    by_item = tf.transpose(tf.pad(values, [*missing, [0, 0]]), [0, 2, 1])
    best, places = tf.math.top_k(by_item, reasons)
    found = item_reasons(tf.gather(taken, places, batch_dims=1), best, item_ids)
    return or_popularity(found, None if has_prior else rows_without_profile(profiles, batch))


def item_reasons(items: tf.Tensor, weights: tf.Tensor, item_ids: tf.Tensor) -> Reasons:
    """Items of the profile that say more than 0, by index; `items` and `weights` [batch, n, reasons]."""
    is_reason = weights > 0
    labels = tf.where(is_reason, ITEM_PREFIX + tf.gather(item_ids, items), "")
    return Reasons(labels, tf.where(is_reason, weights, 0.0))


def or_popularity(found: Reasons, is_unknown: tf.Tensor | None = None) -> Reasons:
    """`popularity` with the weight 1, alone, where no other reason is given.

    Args:
        found: reasons, the weightiest first.
        is_unknown: only in these rows of the batch, whatever else was found there; None: in all. bool [batch]

    """
    if is_unknown is None:
        is_alone = tf.reduce_all(tf.equal(found.labels, ""), axis=2, keepdims=True)
    else:
        is_alone = is_unknown[:, None, None]
    is_first = tf.range(tf.shape(found.labels)[2]) < 1
    labels = tf.where(is_alone, tf.where(is_first, POPULARITY, ""), found.labels)
    return Reasons(labels, tf.where(is_alone, tf.cast(is_first, tf.float32), found.weights))


def _by_row(profiles: Profiles, values: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """Values of all profile entries → [batch, longest profile, …], padded with 0."""
    rows = tf.cast(batch, profiles.rows.dtype)
    return tf.RaggedTensor.from_value_rowids(values, profiles.rows, nrows=rows, validate=False).to_tensor()
