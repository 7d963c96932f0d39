"""What rankers with a network on the vectors of their fields share."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import MLP, EmbeddedFeatures, IdTable
from tfrec.layers.id_tables import fixed_rows
from tfrec.models.inputs import ModelInputs
from tfrec.models.towers.vector_fields import VectorFieldConfig, VectorFieldRanking


class DeepFieldConfig(VectorFieldConfig):
    """Choices of models with a network."""

    hidden_units: tuple[int, ...] = (64, 32)
    kernel_l2: float = Field(0.003, ge=0, description="weight of half the squared norm of the MLP's kernels")
    input_dropout: float = Field(0.5, ge=0, lt=1, description="of the embeddings on their way into the MLP")
    dropout: float = Field(0.5, ge=0, lt=1, description="behind each hidden layer")


class DeepFieldRanking(VectorFieldRanking):
    r"""z = b + Σ_f w_f + interactions(v) + MLP([v_1, …, v_F])."""

    config: DeepFieldConfig
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0003, 0.03)",
        "model.embedding_dim": "[8, 16, 32, 64]",
        "model.hidden_units": "[[64, 32], [128, 64], [256, 128, 64]]",
        "model.embedding_l2": "log(0.0001, 0.1)",
        "model.input_dropout": "uniform(0, 0.6)",
        "model.dropout": "uniform(0, 0.6)",
    }

    def __init__(self, config: DeepFieldConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed)
        self._mlp = MLP(
            self._mlp_inputs,
            config.hidden_units,
            input_dropout=config.input_dropout,
            dropout=config.dropout,
            seed=seed + 1,
        )

    @property
    def _mlp_inputs(self) -> int:
        """Width of what the MLP reads."""
        return self._width

    def interactions(self, vectors: tf.Tensor) -> tf.Tensor | None:
        """Vectors of the fields [batch, fields, dim] → float [batch], or None for no such term."""
        return None

    def _logits(self, embedded: EmbeddedFeatures, features: Tensors, *, training: bool) -> tf.Tensor:
        deep = self._network(self._flat(embedded), training=training)
        logits = self._bias + tf.reduce_sum(embedded.weights, axis=1) + deep
        interactions = self.interactions(embedded.vectors)
        return logits if interactions is None else logits + interactions

    def _network(self, values: tf.Tensor, *, training: bool) -> tf.Tensor:
        """The MLP. float [batch, width] → float [batch]"""
        seeds = None
        if training and (self.config.input_dropout or self.config.dropout):
            seeds = [self.draw_seed(salt) for salt in range(len(self.config.hidden_units) + 1)]
        logits: tf.Tensor = self._mlp(values, seeds=seeds, compute_type=self.compute_type if training else tf.float32)
        return logits

    def _matrix_penalty(self) -> tf.Tensor | None:
        if not self.config.kernel_l2:
            return None
        return self.config.kernel_l2 * tf.add_n([tf.nn.l2_loss(kernel) for kernel in self._kernels()])

    def _kernels(self) -> list[tf.Variable]:
        """The matrices that `kernel_l2` holds small."""
        return self._mlp.kernels

    def id_tables(self) -> list[IdTable]:
        dim, kernel = self.config.embedding_dim, self._mlp.kernels[0]
        return [*super().id_tables(), *(fixed_rows(kernel, name, at * dim, dim) for at, name in self._placed())]
