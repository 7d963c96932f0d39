"""Places of a list that go to items from which something is learnt.

Each place is one of them with probability `share`. With `epsilon` these show candidates drawn at random (uniformly,
whatever the ranking says), with `thompson` those that a draw from a posterior likes best: the list of a `bayesian_mf`
source whose scores are such draws (Thompson 1933; Chapelle & Li 2011). All other items keep their order.
"""

from __future__ import annotations

from typing import Literal

import tensorflow as tf
from pydantic import Field

from tfrec.config_file import Config


class ExploredPlacesConfig(Config):
    """Whether there are such places."""

    kind: Literal["none", "epsilon", "thompson"] = "none"
    share: float = Field(0.1, gt=0, le=1, description="of the places, in the mean")


def explored_order(preference: tf.Tensor, is_explored: tf.Tensor) -> tf.Tensor:
    """Give the explored places to the items that are preferred for them.

    Args:
        preference: of n items that stand in the order of the ranking, their places in the order of exploration: a
            permutation of 0 … n − 1. int32 [batch, n]
        is_explored: which places are explored. bool [batch, n]

    Returns:
        int32 [batch, n]: which of the items stands where.

    """
    count = tf.shape(preference)[1]
    own = tf.range(count)[None, :]
    explored = tf.reduce_sum(tf.cast(is_explored, tf.int32), axis=1, keepdims=True)
    # Both first those of exploration, then the others, each in its own order: so they belong to each other one by one.
    items = tf.argsort(tf.where(preference < explored, preference, count + own), axis=1)
    places = tf.argsort(tf.where(is_explored, own, count + own), axis=1)
    return tf.gather(items, tf.argsort(places, axis=1), batch_dims=1)
