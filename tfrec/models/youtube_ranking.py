r"""YouTube's ranking: weighted logistic regression that serves expected watch time (Covington et al. 2016, §4.2).

.. math::
    L = \tfrac1n \sum_i \Big( y_i\, \tfrac{T_i}{u} \log(1 + e^{-z_i}) + (1 - y_i) \log(1 + e^{z_i}) \Big), \qquad
    \widehat{T} = u\, e^{z}

z is the output of a network on the fields, T the watch time of a positive, u the `unit`: time that weighs as much as
one negative.

What is exact: where the network fits, the odds learnt are :math:`e^{z(x)} = E[yT/u \mid x] / P(y = 0 \mid x)`. What is
not: the paper reads them as the expected watch time of an impression, which leaves out :math:`1/P(y = 0 \mid x)`. That
is near 1 for rare positives; where half of the impressions are clicked, the answer is twice the truth. With `exact`
every impression, positives too, weighs 1 as a negative: the odds are then :math:`E[yT/u \mid x]` itself, whatever the
rate. Down-sampled negatives are accounted for in both.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Arrays, Tensors
from tfrec.errors import ConfigError, did_you_mean
from tfrec.models.base import TaskLabels
from tfrec.models.deep import DeepConfig
from tfrec.models.inputs import ModelInputs
from tfrec.models.towers.deep_fields import DeepFieldRanking
from tfrec.models.towers.event_losses import loss_columns, require_plain
from tfrec.replicas import global_mean
from tfrec.schema import LABEL, WEIGHT, Schema

WATCH_TIME = "watch_time"
HIGHEST = 60.0  # logit; its power is still a float32


class YoutubeRankingConfig(DeepConfig):
    """Choices of YouTube's ranking model."""

    watch_time: str | None = Field(
        None, description="target of the dataset that is the watch time of a positive; the events' weight by default"
    )
    unit: float = Field(60.0, gt=0, description="watch time that weighs as much as one negative")
    exact: bool = Field(False, description="every impression weighs 1 as a negative: no bias where positives are many")


class YoutubeRanking(DeepFieldRanking):
    """A network whose odds are watch time."""

    Config = YoutubeRankingConfig
    config: YoutubeRankingConfig
    has_first_order: ClassVar[bool] = False

    def __init__(self, config: YoutubeRankingConfig, inputs: ModelInputs, seed: int = 1) -> None:
        """Make the network.

        Raises:
            ConfigError: the label is a value, there is no watch time, or the config asks for another loss.

        """
        require_plain(config, "youtube_ranking learns watch time by a loss of its own")
        _require_watch_time(config, inputs.schema)
        super().__init__(config, inputs, seed)

    @property
    def learns_probabilities(self) -> bool:  # type: ignore[override]
        """Odds are of watch time."""
        return False

    @property
    def logit_shift(self) -> float:
        """As of other models; with `exact` the loss makes up for negatives that were left out."""
        kept = self.inputs.schema.kept_negatives
        return 0.0 if kept is None or self.config.exact else math.log(kept)

    def predictions(self, features: Tensors) -> tf.Tensor:
        """Expected watch time of an impression. float32 [batch]"""
        return self.config.unit * tf.exp(tf.minimum(self.served_logits(features), HIGHEST))

    def task_predictions(self, features: Tensors) -> dict[str, tf.Tensor]:
        return {WATCH_TIME: self.predictions(features)}

    def task_labels(self, records: Arrays) -> dict[str, TaskLabels]:
        watched = np.where(records[LABEL] > 0, records[self._column], 0.0)
        return {WATCH_TIME: TaskLabels(watched, False, super().metric_weights(records) if self._has_weights else None)}

    def metric_weights(self, records: Arrays) -> np.ndarray:
        """Watch time of positives, 1 of negatives: AUC is then the watch time that is not mispredicted (§4.3)."""
        watched = np.nan_to_num(records[self._column])
        return np.where(records[LABEL] > 0, np.maximum(watched, 0), 1.0) * (
            records[WEIGHT] if self._has_weights else 1.0
        )

    def _data_loss(self, inputs: Tensors, logits: tf.Tensor) -> tf.Tensor:
        labels, watched = inputs[LABEL], inputs[self._column] / self.config.unit
        known = tf.logical_or(labels <= 0, tf.math.is_finite(watched))  # a positive of unknown length says nothing
        watched = tf.where(tf.logical_and(known, labels > 0), tf.maximum(watched, 0.0), 0.0)
        plain = 1.0 - labels
        if self.config.exact:
            plain = tf.where(labels > 0, 1.0, 1.0 / (self.inputs.schema.kept_negatives or 1.0))
        losses = watched * tf.nn.softplus(-logits) + plain * tf.nn.softplus(logits)
        losses = tf.where(known, losses, 0.0)
        return global_mean(losses * inputs[WEIGHT] if self._has_weights else losses)

    @property
    def _column(self) -> str:
        return self.config.watch_time or WEIGHT

    @property
    def _has_weights(self) -> bool:
        """Whether events have weights besides their watch time."""
        return self.config.watch_time is not None and self.inputs.schema.weight is not None

    def train_columns(self) -> frozenset[str]:
        return self.required_features | loss_columns(self.inputs.schema) | {self._column}


def _require_watch_time(config: YoutubeRankingConfig, schema: Schema) -> None:
    if schema.label is None or not schema.label.is_binary:
        raise ConfigError(
            "youtube_ranking: the label is a value, and says not which impressions were clicked; give it a 'threshold'"
        )
    if config.watch_time is None and schema.weight is None:
        raise ConfigError(
            "youtube_ranking: the dataset has no watch time; add it to 'targets' of dataset.yaml and name it in "
            "model.watch_time, or add a 'weight'"
        )
    if config.watch_time is not None:
        target = schema.targets.get(config.watch_time)
        if target is None:
            raise ConfigError(
                f"model.watch_time: no target {config.watch_time!r}{did_you_mean(config.watch_time, schema.targets)}"
            )
        if target.is_binary:
            raise ConfigError(f"model.watch_time: {config.watch_time!r} is 0 or 1, no time; drop its 'threshold'")
