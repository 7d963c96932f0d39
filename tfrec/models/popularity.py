"""Popularity: every user is recommended what most others took. The baseline that a model must beat.

score(u, i) = number of training events of item i.
"""

from __future__ import annotations

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.models.base import FittedModel, ModelConfig, RetrievalModel, frozen_variable
from tfrec.models.inputs import ModelInputs


class PopularityConfig(ModelConfig):
    """Popularity has nothing to choose."""


class Popularity(RetrievalModel, FittedModel, tf.Module):
    """Training counts, the same for all users."""

    Config = PopularityConfig

    def __init__(self, config: PopularityConfig, inputs: ModelInputs) -> None:
        tf.Module.__init__(self, name="popularity")
        self.config = config
        self.inputs = inputs
        self._counts = frozen_variable(tf.zeros([inputs.num_items]), "item_counts")

    def fit(self, inputs: ModelInputs) -> None:
        self._counts.assign(inputs.train.item_counts().astype("float32"))

    def scores(self, features: Tensors) -> tf.Tensor:
        batch = tf.shape(features[self.inputs.schema.user_id])[0]
        return tf.repeat(self._counts[None, :], batch, axis=0)

    @property
    def state(self) -> list[tf.Variable]:
        return [self._counts]

    @property
    def required_features(self) -> frozenset[str]:
        return frozenset({self.inputs.schema.user_id})
