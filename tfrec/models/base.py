"""The contract of all models.

A model is built from its config and `ModelInputs`, learns, and then answers on encoded features: a retrieval model
scores the whole catalogue for a user, a ranking model gives one logit per (user, item, context) row. What learns by
gradients is a `tfrs.Model` with `compute_loss`; what is counted or solved has `fit`.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrec.config_file import Config
from tfrec.dataset.records import Tensors
from tfrec.models.inputs import ModelInputs

Task = Literal["retrieval", "ranking"]


class ModelConfig(Config):
    """Base of the models' configs."""


class Recommender(abc.ABC):
    """What evaluation and export rely on."""

    task: ClassVar[Task]
    Config: ClassVar[type[ModelConfig]]
    # Training defaults that suit this model better than the trainer's own; keys of the trainer's `train` section.
    training_defaults: ClassVar[dict[str, Any]] = {}

    config: ModelConfig
    inputs: ModelInputs

    @property
    @abc.abstractmethod
    def state(self) -> list[tf.Variable]:
        """All variables that answering needs; export saves these and nothing else."""

    @property
    @abc.abstractmethod
    def required_features(self) -> frozenset[str]:
        """Encoded features that answering reads."""


class RetrievalModel(Recommender):
    """Scores every item of the catalogue for each user."""

    task: ClassVar[Task] = "retrieval"

    @abc.abstractmethod
    def scores(self, features: Tensors) -> tf.Tensor:
        """Score the catalogue.

        Args:
            features: encoded user and context features, [batch] or [batch, width].

        Returns:
            float32 [batch, num_items], in the order of item indices; higher is better, always finite.

        """

    def refresh(self) -> None:
        """Recompute what `scores` derives from the weights, such as item vectors. Called after training."""

    def embeddings(self) -> TwoTowerEmbeddings | None:
        """The two towers, where the model has them."""
        return None


class TwoTowerEmbeddings(abc.ABC):
    """A retrieval model whose score is a dot product of two vectors."""

    @abc.abstractmethod
    def embed_users(self, features: Tensors) -> tf.Tensor:
        """Encoded user and context features → float32 [batch, dim]."""

    @abc.abstractmethod
    def embed_items(self, features: Tensors) -> tf.Tensor:
        """Encoded item features → float32 [batch, dim]."""


class RankingModel(Recommender):
    """Scores rows of user, item and context."""

    task: ClassVar[Task] = "ranking"

    @abc.abstractmethod
    def logits(self, features: Tensors, *, training: bool = False) -> tf.Tensor:
        """Encoded features [batch] or [batch, width] → float32 [batch], before the sigmoid for a binary label."""

    def predictions(self, features: Tensors) -> tf.Tensor:
        """float32 [batch]: probabilities for a binary label, values otherwise."""
        label = self.inputs.schema.label
        logits = self.logits(features)
        return tf.sigmoid(logits) if label is not None and label.is_binary else logits


class FittedModel(abc.ABC):
    """A model that is counted or solved in one go."""

    @abc.abstractmethod
    def fit(self, inputs: ModelInputs) -> None:
        """Learn from `inputs.train`."""


class GradientModel(tfrs.Model):  # type: ignore[misc]
    """A model that learns by gradient steps on batches; Keras tracks its variables."""

    def train_columns(self) -> frozenset[str]:
        """Columns of the training records that `compute_loss` reads."""
        raise NotImplementedError

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        """Mean loss of a batch of training records; a scalar."""
        raise NotImplementedError


def frozen_variable(values: np.ndarray | tf.Tensor, name: str) -> tf.Variable:
    """A variable that is saved with the model and never trained."""
    return tf.Variable(values, trainable=False, name=name)
