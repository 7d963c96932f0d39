r"""Popularity: every user is recommended what most others took. The baseline that a model must beat.

.. math:: s(u, j) = \sum_{e:\, i_e = j} 2^{-(T - t_e) / h}

The sum runs over the training events of item j, t_e is the time of event e, T that of the last one, h the half-life.
Without a half-life it is their number; `window_days` leaves out events longer ago than that.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.models.base import ModelConfig, Reasons, RetrievalModel
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import FittedModel, frozen_variable
from tfrec.models.profiles.reasons import POPULARITY
from tfrec.schema import Schema

MS_PER_DAY = 86_400_000


class PopularityConfig(ModelConfig):
    """Choices of popularity: by default all events count alike."""

    half_life_days: float | None = Field(
        None, gt=0, description="h: an event this long before the last one counts half; null: all count 1"
    )
    window_days: float | None = Field(
        None, gt=0, description="events longer before the last one than this do not count; null: all do"
    )


class Popularity(RetrievalModel, FittedModel, tf.Module):
    """Training counts, the same for all users."""

    Config = PopularityConfig
    config: PopularityConfig
    search_space: ClassVar[dict[str, str]] = {"model.half_life_days": "log(0.5, 2000)"}

    def __init__(self, config: PopularityConfig, inputs: ModelInputs) -> None:
        """Build an empty table.

        Raises:
            ConfigError: times are asked for, and the dataset has none.

        """
        tf.Module.__init__(self, name="popularity")
        self.config = config
        self.inputs = inputs
        for key in ("half_life_days", "window_days"):
            if getattr(config, key) is not None and inputs.train.times_ms is None:
                raise ConfigError(
                    f"model.{key}={getattr(config, key):g}: the dataset has no timestamp; leave it out, or add "
                    "'timestamp' to dataset.yaml"
                )
        self._counts = frozen_variable(tf.zeros([inputs.num_items]), "item_counts")

    @classmethod
    def searched(cls, schema: Schema) -> dict[str, str]:
        return dict(cls.search_space) if schema.timestamp is not None else {}

    def fit(self, inputs: ModelInputs) -> None:
        weights = event_weights(inputs.train, self.config)
        counts = np.bincount(inputs.train.items, weights=weights, minlength=inputs.num_items)
        self._counts.assign(counts.astype(np.float32))

    def scores(self, features: Tensors) -> tf.Tensor:
        batch = tf.shape(features[self.inputs.schema.user_id])[0]
        return tf.repeat(self._counts[None, :], batch, axis=0)

    def explain(self, features: Tensors, items: tf.Tensor, reasons: int) -> Reasons:
        """Popularity is the one reason; its weight is the item's score."""
        weights = tf.pad(tf.gather(self._counts, items)[:, :, None], [[0, 0], [0, 0], [0, reasons - 1]])
        return Reasons(tf.where(weights > 0, POPULARITY, ""), weights)

    @property
    def state_for_reasons(self) -> list[tf.Variable]:
        return []

    @property
    def features_for_reasons(self) -> frozenset[str]:
        return self.required_features

    @property
    def state(self) -> list[tf.Variable]:
        return [self._counts]

    @property
    def required_features(self) -> frozenset[str]:
        return frozenset({self.inputs.schema.user_id})


def event_weights(train: Interactions, config: PopularityConfig) -> np.ndarray | None:
    """What each event counts; None where all count 1. float64 [events]"""
    if train.times_ms is None or (config.half_life_days is None and config.window_days is None):
        return None
    days_ago = (train.times_ms.max(initial=0) - train.times_ms) / MS_PER_DAY
    weights = np.ones(len(days_ago))
    if config.half_life_days is not None:
        weights = np.exp2(-days_ago / config.half_life_days)
    if config.window_days is not None:
        weights[days_ago > config.window_days] = 0
    return weights
