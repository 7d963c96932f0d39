r"""Orders that are more various than the ranking alone.

- `mmr`, maximal marginal relevance (Carbonell & Goldstein 1998): each place goes to the item with the largest
  :math:`(1 - w)\, r_i - w \max_{j \in S} \cos(v_i, v_j)`, r its ranking score between 0 and 1 within the list, S what
  stands above it, v the first source's item vectors.
- `quota`: at most `at_most` items with the same value of a feature; what is above the quota follows behind all others.
"""

from __future__ import annotations

from typing import Literal

import tensorflow as tf
from pydantic import Field, model_validator

from tfrec.config_file import Config

LAST = -1e30  # below every relevance, above what stands in the list already


class DiversityConfig(Config):
    """Whether the list is re-ordered."""

    kind: Literal["none", "mmr", "quota"] = "none"
    weight: float = Field(0.3, ge=0, le=1, description="w of mmr: 0 keeps the ranking")
    depth: int = Field(100, ge=1, description="best ranked items that mmr re-orders")
    feature: str | None = Field(
        None, description="categorical item feature of quota; of several values the first counts"
    )
    at_most: int = Field(2, ge=1, description="items of one value, of quota")

    @model_validator(mode="after")
    def _quota_has_a_feature(self) -> DiversityConfig:
        if (self.kind == "quota") != (self.feature is not None):
            raise ValueError("diversity: 'feature' belongs to kind quota, and quota needs it")
        return self


def mmr_order(relevance: tf.Tensor, likeness: tf.Tensor, weight: float, steps: tf.Tensor) -> tf.Tensor:
    """The order of the first places.

    Args:
        relevance: float [batch, n] between 0 and 1; `LAST` for padding.
        likeness: cosines of all pairs. float [batch, n, n]
        weight: of unlikeness.
        steps: places to fill; at most n. int32 scalar

    Returns:
        int32 [batch, steps]: which of the n items stands where.

    """
    batch, count = tf.shape(relevance)[0], tf.shape(relevance)[1]

    def step(
        place: tf.Tensor, picks: tf.TensorArray, closest: tf.Tensor, taken: tf.Tensor
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.Tensor, tf.Tensor]:
        value = tf.where(taken, -float("inf"), (1 - weight) * relevance - weight * closest)
        pick = tf.argmax(value, axis=1, output_type=tf.int32)
        closest = tf.maximum(closest, tf.gather(likeness, pick, batch_dims=1))
        return place + 1, picks.write(place, pick), closest, taken | tf.one_hot(pick, count, True, False, dtype=tf.bool)

    # Before the first place all are as unlike as can be: the best ranked item stands first.
    start = (
        tf.constant(0),
        tf.TensorArray(tf.int32, steps),
        -tf.ones_like(relevance),
        tf.zeros_like(relevance, tf.bool),
    )
    picks = tf.while_loop(lambda place, *_: place < steps, step, start)[1].stack()
    return tf.transpose(tf.reshape(picks, tf.stack([steps, batch])))


def quota_order(groups: tf.Tensor, at_most: int) -> tf.Tensor:
    """The order in which no group has more than `at_most` items before all others had their turn.

    Args:
        groups: of each item in the order of the ranking; −1 for none, which has no quota. int32 [batch, n]
        at_most: items of a group.

    Returns:
        int32 [batch, n].

    """
    count = tf.shape(groups)[1]
    places = tf.range(count)
    is_same = tf.equal(groups[:, :, None], groups[:, None, :]) & (places[None, :] < places[:, None])
    before = tf.reduce_sum(tf.cast(is_same, tf.int32), axis=2)
    is_over = (before >= at_most) & (groups >= 0)
    return tf.argsort(tf.where(is_over, count, 0) + places, axis=1)
