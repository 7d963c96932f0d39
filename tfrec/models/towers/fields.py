"""What rankers over fields share: one embedding of all fields, a linear part, an MLP, and the loss of the label."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import (
    MLP,
    EmbeddedFeatures,
    FeatureEmbedding,
    FieldPlan,
    IdTable,
    TableConfig,
    TableShape,
    choose_features,
)
from tfrec.layers.id_tables import fixed_rows
from tfrec.models.base import ModelConfig, RankingModel
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel
from tfrec.replicas import global_mean, share
from tfrec.schema import LABEL, Schema


class FieldConfig(ModelConfig):
    """Choices that all of them have."""

    features: tuple[str, ...] | None = Field(
        None, min_length=1, description="encoded features; all but sequences by default"
    )
    tables: dict[str, TableConfig] = Field(
        {}, description="feature → how its ids share rows (hashed, quotient_remainder), for huge vocabularies"
    )
    embedding_dim: int = Field(32, ge=1)
    embedding_stddev: float = Field(0.05, gt=0, description="of the initial embeddings")
    hidden_units: tuple[int, ...] = (64, 32)
    embedding_l2: float = Field(0.0225, ge=0, description="weight of the mean over rows of Σ_f ‖v_f‖²")
    kernel_l2: float = Field(0.003, ge=0, description="weight of half the squared norm of the MLP's kernels")
    input_dropout: float = Field(0.5, ge=0, lt=1, description="of the embeddings on their way into the MLP")
    dropout: float = Field(0.5, ge=0, lt=1, description="behind each hidden layer")

    def plan(self, schema: Schema, num_ids: Mapping[str, int]) -> FieldPlan:
        """Where the fields stand."""
        features = choose_features(schema, self.features, roles=("user", "item", "context"), key="model.features")
        return FieldPlan(schema, num_ids, features, self.tables)


class FieldRanking(RankingModel, GradientModel):
    r"""z = b + Σ_f w_f + interactions(v) + MLP([v_1, …, v_F])."""

    config: FieldConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 1024,
        "learning_rate": 0.003,
        "patience": 4,
        "epochs": 60,
    }
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0003, 0.03)",
        "model.embedding_dim": "[8, 16, 32, 64]",
        "model.hidden_units": "[[64, 32], [128, 64], [256, 128, 64]]",
        "model.embedding_l2": "log(0.0001, 0.1)",
        "model.input_dropout": "uniform(0, 0.6)",
        "model.dropout": "uniform(0, 0.6)",
    }

    def __init__(self, config: FieldConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(name=type(self).__name__.lower())
        self.config = config
        self.inputs = inputs
        self.seed = seed
        plan = config.plan(inputs.schema, inputs.num_ids)
        self.embedding = FeatureEmbedding(plan, config.embedding_dim, stddev=config.embedding_stddev, seed=seed)
        self._width = len(plan.fields) * config.embedding_dim
        self._mlp = MLP(
            self._width,
            config.hidden_units,
            input_dropout=config.input_dropout,
            dropout=config.dropout,
            seed=seed + 1,
        )
        self._bias = tf.Variable(0.0, name="bias")

    @abc.abstractmethod
    def interactions(self, vectors: tf.Tensor) -> tf.Tensor | None:
        """Vectors of the fields [batch, fields, dim] → float [batch], or None for no such term."""

    def logits(self, features: Tensors, *, training: bool = False) -> tf.Tensor:
        return self._logits(self.embedding(features), training=training)

    def _logits(self, embedded: EmbeddedFeatures, *, training: bool) -> tf.Tensor:
        flat = tf.reshape(embedded.vectors, [-1, self._width])
        seeds = None
        if training and (self.config.input_dropout or self.config.dropout):
            seeds = [self.draw_seed(salt) for salt in range(len(self.config.hidden_units) + 1)]
        deep = self._mlp(flat, seeds=seeds, compute_type=self.compute_type if training else tf.float32)
        logits = self._bias + tf.reduce_sum(embedded.weights, axis=1) + deep
        interactions = self.interactions(embedded.vectors)
        return logits if interactions is None else logits + interactions

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        embedded = self.embedding(inputs)
        logits = self._logits(embedded, training=training)
        label = self.inputs.schema.label
        if label is not None and label.is_binary:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=inputs[LABEL], logits=logits)
        else:
            losses = tf.square(inputs[LABEL] - logits)
        if self.config.embedding_l2:
            # Only rows of the batch are penalised: the cost does not grow with the tables.
            flat = tf.reshape(embedded.vectors, [-1, self._width])
            losses += self.config.embedding_l2 * tf.reduce_sum(tf.square(flat), axis=1)
        loss = global_mean(losses)
        if self.config.kernel_l2:
            squares = tf.add_n([tf.nn.l2_loss(kernel) for kernel in self._mlp.kernels])
            loss += share(self.config.kernel_l2 * squares)
        return loss

    def train_columns(self) -> frozenset[str]:
        return self.required_features | {LABEL}

    def id_tables(self) -> list[IdTable]:
        dim, kernel = self.config.embedding_dim, self._mlp.kernels[0]
        places = enumerate(self.embedding.plan.fields)
        return [*self.embedding.id_tables(), *(fixed_rows(kernel, name, at * dim, dim) for at, name in places)]

    @property
    def required_features(self) -> frozenset[str]:
        return frozenset(self.embedding.plan.fields)

    @property
    def state(self) -> list[tf.Variable]:
        return list(self.trainable_variables)

    @classmethod
    def table_shapes(
        cls, config: FieldConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        return config.plan(schema, num_ids).table_shapes(config.embedding_dim, first_order=True)
