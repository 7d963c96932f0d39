r"""Places of a list that go to items from which something is learnt.

The places are filled one after the other. Each explores with probability `share`, and is then given to one of the
candidates left: with `epsilon` to any of them, all alike, whatever the ranking says; with `thompson` to the one that a
draw from a posterior likes best, which is the list of a `bayesian_mf` source whose scores are such draws (Thompson
1933; Chapelle & Li 2011). Every other place goes to the best ranked of those left.

So with `epsilon` item i has, given the m candidates and the p items above it, the probability

.. math:: (1 - \epsilon)\,[i \text{ is the best ranked of those left}] + \epsilon / (m - p)

With `thompson` it is known of no item: how often a draw likes it best of all is an integral over the posterior of all
candidates, without a closed form. All that can be said is that the best ranked of those left has at least 1 − share,
and any other one at most share.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import tensorflow as tf
from pydantic import Field

from tfrec.config_file import Config


class ExploredPlacesConfig(Config):
    """Whether there are such places."""

    kind: Literal["none", "epsilon", "thompson"] = "none"
    share: float = Field(0.1, gt=0, le=1, description="of the places, in the mean")


class Explored(NamedTuple):
    """How the places were filled.

    Attributes:
        order: which of the n candidates stands where. int32 [batch, places]
        is_best: whether it was the best ranked of those left. bool [batch, places]

    """

    order: tf.Tensor
    is_best: tf.Tensor


def explored_order(wish: tf.Tensor, is_explored: tf.Tensor) -> Explored:
    """Fill the places.

    Args:
        wish: of n items that stand in the order of the ranking: the lower, the rather they are explored; +inf for
            padding, which stands behind them. float32 [batch, n]
        is_explored: which places explore, never one more than there are items. bool [batch, places], 1 ≤ places ≤ n

    """
    batch, count, places = tf.shape(wish)[0], tf.shape(wish)[1], tf.shape(is_explored)[1]

    def fill(
        place: tf.Tensor, order: tf.TensorArray, is_best: tf.TensorArray, taken: tf.Tensor
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.TensorArray, tf.Tensor]:
        best = tf.argmin(tf.cast(taken, tf.int32), axis=1, output_type=tf.int32)  # the first one not taken
        liked = tf.argmin(tf.where(taken, float("inf"), wish), axis=1, output_type=tf.int32)
        pick = tf.where(is_explored[:, place], liked, best)
        taken |= tf.one_hot(pick, count, True, False, dtype=tf.bool)
        return place + 1, order.write(place, pick), is_best.write(place, tf.equal(pick, best)), taken

    start = (
        tf.constant(0),
        tf.TensorArray(tf.int32, places, element_shape=[None]),
        tf.TensorArray(tf.bool, places, element_shape=[None]),
        tf.zeros_like(wish, tf.bool),
    )
    _, order, is_best, _ = tf.while_loop(lambda place, *_: place < places, fill, start)
    return Explored(*(tf.reshape(tf.transpose(one.stack()), tf.stack([batch, places])) for one in (order, is_best)))


def epsilon_propensities(is_best: tf.Tensor, counts: tf.Tensor, share: float) -> tf.Tensor:
    """The probability with which each place got its item, given the items above it.

    Args:
        is_best: of `Explored`. bool [batch, places]
        counts: candidates of each row. int32 [batch]
        share: of the places that explore.

    Returns:
        float32 [batch, places]; 0 behind the last candidate.

    """
    left = counts[:, None] - tf.range(tf.shape(is_best)[1])[None, :]
    drawn = share / tf.cast(tf.maximum(left, 1), tf.float32)
    return tf.where(left > 0, tf.where(is_best, 1 - share, 0.0) + drawn, 0.0)
