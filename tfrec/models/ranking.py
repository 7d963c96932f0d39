"""The contract of ranking models: a logit per row, corrected for what training left out, and calibrated."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Arrays, Tensors
from tfrec.layers.calibration import Calibration, CalibrationKind, make_calibration
from tfrec.models.recommender import ModelConfig, Recommender, Task
from tfrec.schema import WEIGHT


class CalibratedConfig(ModelConfig):
    """Base of the configs of models whose probabilities may be calibrated after training."""

    calibration: CalibrationKind = Field(
        "none", description="curve that is fitted on validation after training and exported with the model"
    )


class RankingModel(Recommender):
    """Scores rows of user, item and context."""

    task: ClassVar[Task] = "ranking"

    # Whether training makes logits those of probabilities, or values where the label is one; or only orders rows by
    # them. A property may stand in its place that reads `self.config` alone.
    learns_probabilities: bool = True

    # Whether `task_loss` chooses the epoch by default.
    has_task_loss: ClassVar[bool] = False

    @abc.abstractmethod
    def logits(self, features: Tensors, *, training: bool = False) -> tf.Tensor:
        """Encoded features [batch] or [batch, width] → float32 [batch], before the sigmoid for a binary label."""

    def predictions(self, features: Tensors) -> tf.Tensor:
        """float32 [batch]: probabilities for a binary label, values otherwise."""
        logits = self.served_logits(features)
        return tf.sigmoid(logits) if self.has_binary_label else logits

    def served_logits(self, features: Tensors) -> tf.Tensor:
        """Logits, corrected and calibrated: what evaluation judges and `predictions` are made of. float32 [batch]"""
        logits = self.corrected_logits(features)
        return logits if self.calibration is None else self.calibration(logits)

    def corrected_logits(self, features: Tensors) -> tf.Tensor:
        """Logits of the whole log, by a model that learnt from a part of it. float32 [batch]"""
        logits, shift = self.logits(features), self.logit_shift
        return logits + shift if shift else logits

    def task_predictions(self, features: Tensors) -> dict[str, tf.Tensor]:
        """What is predicted besides the score: name → float32 [batch]. Exported, and judged by `task_labels`."""
        return {}

    def task_labels(self, records: Arrays) -> dict[str, TaskLabels]:
        """What happened, for each of `task_predictions`."""
        return {}

    def task_loss(self, records: Arrays, predicted: Mapping[str, np.ndarray]) -> float | None:
        """What training minimises of `task_predictions`, for models whose epoch that is to choose; None for others."""
        return None

    def metric_weights(self, records: Arrays) -> np.ndarray | None:
        """What each event counts in metrics; None for all alike. float32 [rows]"""
        return records[WEIGHT] if self.inputs.schema.weight is not None else None

    @property
    def logit_shift(self) -> float:
        r"""Added to the logits of a binary label: log r where a share r of the negatives was kept for training.

        Among the kept rows the odds are :math:`P(1|x) / (r P(0|x))`, so the logit there is that of the whole log minus
        log r; exact for a model that fits the kept rows, as in He et al. (2014, §6.3), who write it for probabilities.
        """
        share = self.inputs.schema.kept_negatives
        return math.log(share) if share is not None and self.has_binary_label and self.learns_probabilities else 0.0

    @property
    def has_binary_label(self) -> bool:
        label = self.inputs.schema.label
        return label is not None and label.is_binary

    @property
    def predicts_labels(self) -> bool:
        """Whether predictions are probabilities or values, by training or by calibration; or only order rows."""
        return self.learns_probabilities or self.calibration is not None

    @cached_property
    def calibration(self) -> Calibration | None:
        """The step that `config.calibration` asks for, not fitted yet; None for none."""
        # A cached property is set behind Keras' back: it is no part of the checkpoints of training, which it follows.
        with tf.init_scope():
            return make_calibration(getattr(getattr(self, "config", None), "calibration", "none"))

    @property
    def calibration_state(self) -> list[tf.Variable]:
        """What `state` holds of the calibration."""
        return [] if self.calibration is None else self.calibration.state


class TaskLabels(NamedTuple):
    """What one of several predictions is judged by.

    Attributes:
        labels: NaN where an event says nothing. float [rows]
        is_binary: whether the prediction is a probability.
        weights: of the events in metrics; None for all alike. float [rows]

    """

    labels: np.ndarray
    is_binary: bool
    weights: np.ndarray | None = None
