r"""Several labels of an event at once: a shared bottom or a multi-gate mixture of experts (Ma et al. 2018, eq. 1, 6–8).

.. math::
    z_k = h^k(f^k([v_1, \dots, v_F])), \qquad
    L = \sum_k \lambda_k \frac{\sum_i m_{ki}\, n_{ki}\, w_i\, \ell_k(y_{ki}, z_{ki})}{\sum_i m_{ki}\, n_{ki}}, \qquad
    s = \sum_k c_k\, \hat y_k

The tasks are the label and the targets of the dataset. f^k is what the tasks share (`MixtureOfExperts`), h^k a network
of the task; ℓ is log loss for what is 0 or 1 and squared error, in units of the task's scale, for values. m is 0 where
an event says nothing of a task. n is the number of events that a training row stands for, where negatives of the label
were left out; the label itself has n = 1, and its logit is corrected instead. The score s that items are ordered by
adds the predictions, probabilities or values, up by the stated weights c; each prediction is exported beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import scipy.special
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Arrays, Tensors
from tfrec.errors import ConfigError, did_you_mean
from tfrec.layers import MLP, IdTable
from tfrec.layers.dropout import dropout
from tfrec.layers.mixture_of_experts import MixtureOfExperts
from tfrec.metrics import log_loss, root_mean_squared_error
from tfrec.models.base import TaskLabels
from tfrec.models.inputs import ModelInputs
from tfrec.models.towers.event_losses import loss_columns, pointwise_losses, require_plain
from tfrec.models.towers.vector_fields import VectorFieldConfig, VectorFieldRanking
from tfrec.replicas import global_mean, share
from tfrec.schema import LABEL, WEIGHT, Label, Schema


class MultiTaskConfig(VectorFieldConfig):
    """Choices of models of several tasks."""

    crosses: Literal["none", "both"] = Field(  # type: ignore[assignment]
        "both", description="whether declared crosses are fields like any other"
    )
    tasks: tuple[str, ...] | None = Field(
        None, min_length=1, description="label and names of targets; the label and all targets by default"
    )
    sharing: Literal["shared_bottom", "mmoe"] = "mmoe"
    experts: int = Field(4, ge=2, description="of mmoe")
    expert_units: tuple[int, ...] = Field((64,), min_length=1, description="layers of an expert, or of the bottom")
    tower_units: tuple[int, ...] = Field((32,), description="hidden layers of each task's own network")
    loss_weights: dict[str, float] = Field({}, description="task → weight in the loss; 1 for those that are not named")
    score_weights: dict[str, float] = Field(
        {}, description="task → weight in the score; the first task alone by default"
    )
    scales: dict[str, float] = Field({}, description="task of a value → what counts as 1 of it in the loss, such as 60")
    input_dropout: float = Field(0.5, ge=0, lt=1, description="of the embeddings on their way into the experts")
    dropout: float = Field(0.3, ge=0, lt=1, description="behind each hidden layer of the tasks' networks")
    kernel_l2: float = Field(0.001, ge=0, description="weight of half the squared norm of all kernels")

    def chosen_tasks(self, schema: Schema) -> dict[str, Label]:
        """Task → what it is, in the order of the config.

        Raises:
            ConfigError: there is no label or no such target, or a key names a task that is not one, or a scale is not
                positive.

        """
        if schema.label is None:  # it is what the score is judged by
            raise ConfigError("multitask: the dataset has no 'label'; make the target that matters most its label")
        known = {LABEL: schema.label, **schema.targets}
        names = tuple(known) if self.tasks is None else self.tasks
        for key, given, allowed in (
            ("tasks", names, known),
            *((key, getattr(self, key), names) for key in ("loss_weights", "score_weights", "scales")),
        ):
            for name in given:
                if name not in allowed:
                    raise ConfigError(f"model.{key}: no task {name!r}{did_you_mean(name, allowed)}")
        for name, scale in self.scales.items():
            if known[name].is_binary or not scale > 0:
                raise ConfigError(f"model.scales: {name}={scale}; scales are above 0, and of tasks that are values")
        return {name: known[name] for name in names}


class MultiTask(VectorFieldRanking):
    """Experts on the fields, a network for each task on its own mixture of them."""

    Config = MultiTaskConfig
    config: MultiTaskConfig
    has_first_order: ClassVar[bool] = False
    has_task_loss: ClassVar[bool] = True
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0003, 0.03)",
        "model.embedding_dim": "[8, 16, 32, 64]",
        "model.experts": "[2, 4, 8]",
        "model.expert_units": "[[32], [64], [128, 64]]",
        "model.embedding_l2": "log(0.0001, 0.1)",
        "model.input_dropout": "uniform(0, 0.6)",
    }

    def __init__(self, config: MultiTaskConfig, inputs: ModelInputs, seed: int = 1) -> None:
        """Make the layers. Raises ConfigError if the config names tasks that there are not, or another loss."""
        require_plain(config, "multitask learns each task by its own loss")
        super().__init__(config, inputs, seed)
        self._tasks = config.chosen_tasks(inputs.schema)
        self._mixture = MixtureOfExperts(
            self._width,
            config.expert_units,
            experts=config.experts if config.sharing == "mmoe" else 1,
            tasks=len(self._tasks),
            seed=seed + 1,
        )
        width = config.expert_units[-1]
        self._towers = [
            MLP(width, config.tower_units, dropout=config.dropout, seed=seed + 10 + at)
            for at in range(len(self._tasks))
        ]

    @classmethod
    def activations(cls, config: MultiTaskConfig, schema: Schema) -> int:
        tasks, experts = len(config.chosen_tasks(schema)), config.experts if config.sharing == "mmoe" else 1
        of_tasks = tasks * (experts + config.expert_units[-1] + sum(config.tower_units))
        return super().activations(config, schema) + experts * sum(config.expert_units) + of_tasks

    @property
    def learns_probabilities(self) -> bool:  # type: ignore[override]
        """The score is a sum; what it adds up is in `task_predictions`."""
        return False

    def task_logits(self, features: Tensors, *, training: bool = False) -> dict[str, tf.Tensor]:
        """Encoded features [batch] or [batch, width] → task → z_k, float32 [batch]."""
        return self._task_logits(self._flat(self.embed(features)), training=training)

    def _task_logits(self, flat: tf.Tensor, *, training: bool) -> dict[str, tf.Tensor]:
        config, compute_type = self.config, self.compute_type if training else tf.float32
        if training and config.input_dropout:
            flat = dropout(flat, config.input_dropout, self.draw_seed(0))
        mixed = self._mixture(flat, compute_type=compute_type)
        found, layers = {}, len(config.tower_units) + 1
        for at, (name, tower, values) in enumerate(zip(self._tasks, self._towers, mixed, strict=True)):
            seeds = None
            if training and config.dropout:
                seeds = [self.draw_seed(1 + at * layers + layer) for layer in range(layers)]
            found[name] = self._bias_of(name) + tower(values, seeds=seeds, compute_type=compute_type)
        return found

    def _bias_of(self, name: str) -> tf.Tensor | float:
        """The model's bias is that of the first task; the others have one in the last layer of their network alone."""
        return self._bias if name == next(iter(self._tasks)) else 0.0

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        embedded = self.embed(inputs)
        loss = tf.constant(0.0)
        for name, logits in self._task_logits(self._flat(embedded), training=training).items():
            loss += self.config.loss_weights.get(name, 1.0) * self._task_loss(name, inputs, logits)
        of_rows = self._row_penalties(embedded)
        if of_rows is not None:
            loss += global_mean(of_rows)
        if self.config.kernel_l2:
            kernels = [*self._mixture.kernels, *(kernel for tower in self._towers for kernel in tower.kernels)]
            loss += share(self.config.kernel_l2 * tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels]))
        return loss

    def _task_loss(self, name: str, inputs: Tensors, logits: tf.Tensor) -> tf.Tensor:
        """Mean over the events that say something of the task; this replica's share."""
        known = tf.math.is_finite(inputs[name])
        labels = tf.where(known, inputs[name], 0.0) / self.config.scales.get(name, 1.0)
        weights = inputs[WEIGHT] if self.inputs.schema.weight is not None else tf.ones_like(logits)
        counts = tf.cast(known, tf.float32)
        kept = self.inputs.schema.kept_negatives
        if kept is not None and name != LABEL:
            counts = tf.where(inputs[LABEL] > 0, counts, counts / kept)
        return global_mean(pointwise_losses(logits, labels, weights, is_binary=self._tasks[name].is_binary), counts)

    def task_predictions(self, features: Tensors) -> dict[str, tf.Tensor]:
        found = {}
        for name, logits in self.task_logits(features).items():
            if self._tasks[name].is_binary:
                found[name] = tf.sigmoid(logits + (self._shift if name == LABEL else 0.0))
            else:
                found[name] = logits * self.config.scales.get(name, 1.0)
        return found

    def task_labels(self, records: Arrays) -> dict[str, TaskLabels]:
        weights = self.metric_weights(records)
        return {
            name: TaskLabels(records[name].astype(np.float64), task.is_binary, weights)
            for name, task in self._tasks.items()
        }

    def task_loss(self, records: Arrays, predicted: Mapping[str, np.ndarray]) -> float:
        """Σ_k λ_k L_k without what holds weights small; a task that no row says anything of is left out."""
        losses = []
        for name, (labels, is_binary, weights) in self.task_labels(records).items():
            known = np.isfinite(labels)
            weight, values = None if weights is None else weights[known], predicted[name][known].astype(np.float64)
            if is_binary:
                logits = scipy.special.logit(np.clip(values, 1e-7, 1 - 1e-7))  # of a float32
                loss = log_loss(labels[known], logits, weight)
            else:
                scale = self.config.scales.get(name, 1.0)
                loss = root_mean_squared_error(labels[known] / scale, values / scale, weight) ** 2
            losses.append(self.config.loss_weights.get(name, 1.0) * loss)
        return float(np.nansum(losses)) if np.isfinite(losses).any() else math.nan

    def logits(self, features: Tensors, *, training: bool = False) -> tf.Tensor:
        """The score s; no logit, but as it orders rows like one. float32 [batch]"""
        predicted = self.task_predictions(features)
        weights = self.config.score_weights or {next(iter(self._tasks)): 1.0}
        return tf.add_n([weight * predicted[name] for name, weight in weights.items()])

    def predictions(self, features: Tensors) -> tf.Tensor:
        """The score s. float32 [batch]"""
        return self.logits(features)

    @property
    def logit_shift(self) -> float:
        """None of the score: it is corrected where the label's probability is made."""
        return 0.0

    @property
    def _shift(self) -> float:
        kept = self.inputs.schema.kept_negatives
        return 0.0 if kept is None else math.log(kept)

    def train_columns(self) -> frozenset[str]:
        return self.required_features | loss_columns(self.inputs.schema) | frozenset(self._tasks)

    def id_tables(self) -> list[IdTable]:
        return [*super().id_tables(), *self._mixture.id_tables(self._placed(), self.config.embedding_dim)]
