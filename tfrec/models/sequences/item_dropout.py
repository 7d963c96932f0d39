"""Items of the past that a model in training does not see: it learns not to lean on any one of them.

Such a step keeps its place, its time and its context; its item's vector is that of padding, which nothing else reads,
and which so becomes the vector of an item that is not told. What is asked of a step stays as it was. Unlike the masks
of BERT4Rec nothing is asked of a hidden item at its own step, so causal models can have it too (dropout of whole words:
Gal & Ghahramani 2016; of items of a past: Sun et al. 2019).
"""

from __future__ import annotations

import tensorflow as tf
from pydantic import Field

from tfrec.models.base import ModelConfig

HIDDEN_ID = 0  # padding


class ItemDropoutConfig(ModelConfig):
    """How much of the past is hidden."""

    item_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the steps whose item is hidden in training; their place, time and context are not",
    )


def partly_hidden(ids: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
    """Encoded item ids of steps, some of them hidden.

    Args:
        ids: int64 [rows, length].
        share: of them that are hidden, each for itself; in [0, 1).
        seed: int32 [2].

    """
    if not share:
        return ids
    is_hidden = tf.random.stateless_uniform(tf.shape(ids), seed, alg="philox") < share
    return tf.where(is_hidden, tf.constant(HIDDEN_ID, ids.dtype), ids)
