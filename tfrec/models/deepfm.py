r"""DeepFM: a factorisation machine and a deep network on the same embeddings (Guo et al. 2017, eq. 1–4).

.. math:: z = b + \sum_f w_f + \sum_{f<g} \langle v_f, v_g \rangle + \mathrm{MLP}([v_1, \dots, v_F])

w_f and v_f are the first-order weight and the vector of field f's value; prediction is σ(z) for a binary label.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import FeatureEmbedding, factorization_machine
from tfrec.layers.feature_embedding import choose_features
from tfrec.layers.mlp import mlp
from tfrec.models.base import GradientModel, ModelConfig, RankingModel
from tfrec.models.inputs import ModelInputs
from tfrec.schema import LABEL


class DeepFMConfig(ModelConfig):
    """Choices of DeepFM."""

    features: tuple[str, ...] | None = Field(None, description="encoded features; all but sequences by default")
    embedding_dim: int = Field(32, ge=1)
    hidden_units: tuple[int, ...] = (64, 32)
    embedding_stddev: float = Field(0.05, gt=0, description="of the initial embeddings")
    embedding_l2: float = Field(0.0225, ge=0, description="weight of the mean over rows of Σ_f ‖v_f‖²")
    kernel_l2: float = Field(0.003, ge=0, description="weight of half the squared norm of the MLP's kernels")
    input_dropout: float = Field(0.5, ge=0, lt=1, description="of the embeddings on their way into the MLP")
    dropout: float = Field(0.5, ge=0, lt=1, description="behind each hidden layer")


class DeepFM(RankingModel, GradientModel):
    """FM and MLP on shared embeddings."""

    Config = DeepFMConfig
    config: DeepFMConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 1024,
        "learning_rate": 0.003,
        "patience": 4,
        "epochs": 60,
    }

    def __init__(self, config: DeepFMConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(name="deepfm")
        self.config = config
        self.inputs = inputs
        self._features = choose_features(
            inputs.schema, config.features, roles=("user", "item", "context"), key="model.features"
        )
        self._embedding = FeatureEmbedding(
            inputs.schema,
            inputs.num_ids,
            self._features,
            config.embedding_dim,
            stddev=config.embedding_stddev,
            seed=seed,
        )
        self._mlp = mlp(
            config.hidden_units,
            input_dropout=config.input_dropout,
            dropout=config.dropout,
            l2=config.kernel_l2,
            seed=seed + 1,
        )
        self._mlp.build([None, len(self._features) * config.embedding_dim])
        self._bias = tf.Variable(0.0, name="bias")

    def logits(self, features: Tensors, *, training: bool = False) -> tf.Tensor:
        vectors, weights = self._embedding(features)
        return self._logits(vectors, weights, training=training)

    def _logits(self, vectors: tf.Tensor, weights: tf.Tensor, *, training: bool) -> tf.Tensor:
        flat = tf.reshape(vectors, [-1, len(self._features) * self.config.embedding_dim])
        deep = tf.squeeze(self._mlp(flat, training=training), axis=1)
        return self._bias + tf.reduce_sum(weights, axis=1) + factorization_machine(vectors) + deep

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        vectors, weights = self._embedding(inputs)
        logits = self._logits(vectors, weights, training=training)
        label = self.inputs.schema.label
        if label is not None and label.is_binary:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=inputs[LABEL], logits=logits)
        else:
            losses = tf.square(inputs[LABEL] - logits)
        # Only rows of the batch are penalised: the cost does not grow with the tables.
        penalty = tf.reduce_mean(tf.reduce_sum(tf.square(vectors), axis=[1, 2]))
        return tf.reduce_mean(losses) + self.config.embedding_l2 * penalty

    def train_columns(self) -> frozenset[str]:
        return self.required_features | {LABEL}

    @property
    def required_features(self) -> frozenset[str]:
        return frozenset(self._features)

    @property
    def state(self) -> list[tf.Variable]:
        return list(self.trainable_variables)
