"""The contract of all models.

A model is built from its config and `ModelInputs`, learns, and then answers on encoded features: a retrieval model
scores the whole catalogue for a user, a ranking model gives one logit per (user, item, context) row. What learns by
gradients is a `tfrs.Model` with `compute_loss`; what is counted or solved has `fit`.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrec.config_file import Config
from tfrec.dataset.records import Tensors
from tfrec.layers.id_tables import IdTable
from tfrec.layers.tables import TableShape
from tfrec.models.inputs import ModelInputs
from tfrec.schema import Schema

Task = Literal["retrieval", "ranking"]


class ModelConfig(Config):
    """Base of the models' configs."""


class Recommender(abc.ABC):
    """What evaluation and export rely on."""

    task: ClassVar[Task]
    Config: ClassVar[type[ModelConfig]]
    # Training defaults that suit this model better than the trainer's own; keys of the trainer's `train` section.
    training_defaults: ClassVar[dict[str, Any]] = {}
    # What `python -m trainer.tune` searches if it is not told: config key → range, written as in its --space.
    search_space: ClassVar[dict[str, str]] = {}

    config: ModelConfig
    inputs: ModelInputs

    @classmethod
    def table_shapes(cls, config: Any, schema: Schema, num_ids: Mapping[str, int], num_items: int) -> list[TableShape]:
        """What grows with the vocabularies or the catalogue, before anything is allocated.

        Args:
            config: of this model.
            schema: of the dataset.
            num_ids: feature → number of its ids.
            num_items: size of the catalogue.

        """
        return []

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

    @classmethod
    def fit_flops(cls, num_items: int) -> float:
        """Floating-point operations of a `fit` that the catalogue decides, about; 0 where the log does."""
        return 0.0

    @abc.abstractmethod
    def fit(self, inputs: ModelInputs) -> None:
        """Learn from `inputs.train`."""


class GradientModel(tfrs.Model):  # type: ignore[misc]
    """A model that learns by gradient steps on batches; Keras tracks its variables."""

    seed: int = 0
    compute_type: tf.DType = tf.float32  # of the matrices while training; weights stay float32

    def draw_seed(self, salt: int, *, per_replica: bool = True) -> tf.Tensor:
        """Seed of what is drawn at random in this step, int32 [2].

        It follows from the model's seed, the number of steps taken and the replica alone: a run that is resumed draws
        what it would have drawn. `salt` tells the draws of one step apart; without `per_replica` all replicas draw the
        same.
        """
        optimizer = getattr(self, "optimizer", None)
        step = tf.constant(0, tf.int64) if optimizer is None else tf.convert_to_tensor(optimizer.iterations)
        seed = tf.random.experimental.stateless_fold_in(tf.constant([self.seed, salt], tf.int32), step)
        if not per_replica:
            return seed
        replica = tf.distribute.get_replica_context()
        place = 0 if replica is None else replica.replica_id_in_sync_group
        return tf.random.experimental.stateless_fold_in(seed, tf.cast(place, tf.int64))

    def wide_variables(self) -> list[tf.Variable]:
        """Weights of the linear part, which may follow another optimiser than the rest."""
        return []

    def id_tables(self) -> list[IdTable]:
        """Every variable whose rows belong to features; a later model takes them over by token, others whole."""
        raise NotImplementedError

    def train_columns(self) -> frozenset[str]:
        """Columns of the training records that `compute_loss` reads."""
        raise NotImplementedError

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        """Mean loss of a batch of training records; a scalar.

        With several replicas each returns its share: the sum over replicas is the mean over the global batch.
        """
        raise NotImplementedError


def frozen_variable(values: np.ndarray | tf.Tensor, name: str) -> tf.Variable:
    """A variable that is saved with the model and never trained."""
    return tf.Variable(values, trainable=False, name=name)
