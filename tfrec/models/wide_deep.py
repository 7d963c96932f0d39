r"""Wide & Deep: a linear model memorises, a network generalises, trained jointly (Cheng et al. 2016, eq. 3).

.. math:: z = b + \sum_f w_f + \mathrm{MLP}([v_1, \dots, v_F])

w_f is the wide weight of field f's value, v_f its vector in the deep part; prediction is σ(z) for a binary label. The
wide part follows FTRL, as in the paper, the deep part the job's optimiser.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.models.fields import FieldConfig, FieldRanking


class WideDeepConfig(FieldConfig):
    """Choices of Wide & Deep."""

    embedding_dim: int = Field(32, ge=1)
    hidden_units: tuple[int, ...] = (64, 32)
    embedding_l2: float = Field(0.02, ge=0, description="weight of the mean over rows of Σ_f ‖v_f‖²")
    kernel_l2: float = Field(0.003, ge=0, description="weight of half the squared norm of the MLP's kernels")
    input_dropout: float = Field(0.5, ge=0, lt=1, description="of the embeddings on their way into the MLP")
    dropout: float = Field(0.5, ge=0, lt=1, description="behind each hidden layer")


class WideDeep(FieldRanking):
    """A linear part and an MLP."""

    Config = WideDeepConfig
    config: WideDeepConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 1024,
        "learning_rate": 0.003,
        "patience": 4,
        "epochs": 60,
        "wide_optimizer": {"name": "ftrl", "learning_rate": 0.05},
    }
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0003, 0.03)",
        "model.embedding_dim": "[8, 16, 32, 64]",
        "model.hidden_units": "[[64, 32], [128, 64], [256, 128, 64]]",
        "model.embedding_l2": "log(0.0001, 0.1)",
        "model.input_dropout": "uniform(0, 0.6)",
        "model.dropout": "uniform(0, 0.6)",
    }

    def interactions(self, vectors: tf.Tensor) -> tf.Tensor | None:
        return None

    def wide_variables(self) -> list[tf.Variable]:
        return self.embedding.first_order
