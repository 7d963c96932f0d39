r"""DeepFM: a factorisation machine and a deep network on the same embeddings (Guo et al. 2017, eq. 1–4).

.. math:: z = b + \sum_f w_f + \sum_{f<g} \langle v_f, v_g \rangle + \mathrm{MLP}([v_1, \dots, v_F])

w_f and v_f are the first-order weight and the vector of field f's value; prediction is σ(z) for a binary label.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.layers import factorization_machine
from tfrec.models.fields import FieldConfig, FieldRanking


class DeepFMConfig(FieldConfig):
    """Choices of DeepFM."""

    embedding_dim: int = Field(32, ge=1)
    hidden_units: tuple[int, ...] = (64, 32)
    embedding_l2: float = Field(0.0225, ge=0, description="weight of the mean over rows of Σ_f ‖v_f‖²")
    kernel_l2: float = Field(0.003, ge=0, description="weight of half the squared norm of the MLP's kernels")
    input_dropout: float = Field(0.5, ge=0, lt=1, description="of the embeddings on their way into the MLP")
    dropout: float = Field(0.5, ge=0, lt=1, description="behind each hidden layer")


class DeepFM(FieldRanking):
    """FM and MLP on shared embeddings."""

    Config = DeepFMConfig
    config: DeepFMConfig
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

    def interactions(self, vectors: tf.Tensor) -> tf.Tensor:
        return factorization_machine(vectors)
