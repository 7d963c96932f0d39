"""How a model learns: counted or solved in one go, or by gradient steps on batches."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrec.dataset.records import Tensors
from tfrec.dataset.window_batches import Windows
from tfrec.layers.id_tables import IdTable
from tfrec.models.inputs import ModelInputs
from tfrec.schema import Schema

TrainingRows = Literal["events", "groups", "users", "items", "windows"]


class FittedModel(abc.ABC):
    """A model that is counted or solved in one go."""

    has_seed: ClassVar[bool] = False
    seed: int = 0  # of the job; for what starts from random numbers

    @classmethod
    def fit_flops(cls, num_items: int) -> float:
        """Floating-point operations of a `fit` that the catalogue decides, about; 0 where the log does."""
        return 0.0

    @abc.abstractmethod
    def fit(self, inputs: ModelInputs) -> None:
        """Learn from `inputs.train`."""


@dataclass(frozen=True)
class EarlierPart:
    """A part of a model that can start with the weights of a job of another model.

    Attributes:
        place: of the part, as checkpoints name it; the same in both models.
        scales: places of variables in it → what their weights are multiplied with on the way.
        width_key: key of this model's config by which the part's tables get their width.

    """

    place: str
    scales: Mapping[str, float]
    width_key: str


class GradientModel(tfrs.Model):  # type: ignore[misc]
    """A model that learns by gradient steps on batches; Keras tracks its variables."""

    has_seed: ClassVar[bool] = True
    seed: int = 0
    compute_type: tf.DType = tf.float32  # of the matrices while training; weights stay float32
    # What a row of a batch is. "users" or "items": batches hold `USER_INDEX` or `ITEM_INDEX` alone, each user (item)
    # with training events once an epoch, and the model looks the rest up in `inputs.train`. "groups": batches hold rows
    # of events with `GROUP` beside their columns, and all rows of each of their groups: the requests (users) that
    # `config.loss_within` names. "windows": batches of `WindowBatches`, with the windows that `windows` asks for. A
    # property may stand in its place that reads `self.config` alone.
    training_rows: TrainingRows = "events"

    @property
    def steps_taken(self) -> tf.Tensor:
        """Of training; int64 scalar, 0 before there is an optimiser."""
        optimizer = getattr(self, "optimizer", None)
        return tf.constant(0, tf.int64) if optimizer is None else tf.convert_to_tensor(optimizer.iterations)

    def draw_seed(self, salt: int, *, per_replica: bool = True) -> tf.Tensor:
        """Seed of what is drawn at random in this step, int32 [2].

        It follows from the model's seed, the number of steps taken and the replica alone: a run that is resumed draws
        what it would have drawn. `salt` tells the draws of one step apart; without `per_replica` all replicas draw the
        same.
        """
        seed = tf.random.experimental.stateless_fold_in(tf.constant([self.seed, salt], tf.int32), self.steps_taken)
        if not per_replica:
            return seed
        replica = tf.distribute.get_replica_context()
        place = 0 if replica is None else replica.replica_id_in_sync_group
        return tf.random.experimental.stateless_fold_in(seed, tf.cast(place, tf.int64))

    def wide_variables(self) -> list[tf.Variable]:
        """Weights of the linear part, which may follow another optimiser than the rest."""
        return []

    @property
    def earlier_parts(self) -> Mapping[str, EarlierPart]:
        """Other models that this one can be put together from, by name: a warm start takes a job of each."""
        return {}

    @classmethod
    def activations(cls, config: Any, schema: Schema) -> int:
        """Numbers that a row of a batch takes on its way through the model, about, beside the vectors it looks up."""
        return sum(getattr(config, "hidden_units", ()))

    @classmethod
    def windows(cls, config: Any, schema: Schema) -> Windows:
        """Of a model that learns from windows: how long they are, and whether it reads what comes next."""
        raise NotImplementedError

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
