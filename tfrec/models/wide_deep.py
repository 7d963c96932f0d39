r"""Wide & Deep: a linear model memorises, a network generalises, trained jointly (Cheng et al. 2016, eq. 3).

.. math:: z = b + \sum_f w_f + \mathrm{MLP}([v_1, \dots, v_F])

w_f is the wide weight of field f's value, v_f its vector in the deep part; prediction is σ(z) for a binary label. The
wide part follows FTRL, as in the paper, the deep part the job's optimiser.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.models.towers.fields import FieldConfig, FieldRanking


class WideDeepConfig(FieldConfig):
    """Choices of Wide & Deep: small vectors and no dropout; with no term for pairs, the MLP needs all it has."""

    embedding_dim: int = Field(16, ge=1)
    embedding_stddev: float = Field(0.001, gt=0, description="of the initial embeddings")
    kernel_l2: float = Field(0.0, ge=0, description="weight of half the squared norm of the MLP's kernels")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="of the embeddings on their way into the MLP")
    dropout: float = Field(0.0, ge=0, lt=1, description="behind each hidden layer")
    embedding_l2: float = Field(0.02, ge=0, description="weight of the mean over rows of Σ_f ‖v_f‖²")


class WideDeep(FieldRanking):
    """A linear part and an MLP."""

    Config = WideDeepConfig
    config: WideDeepConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        **FieldRanking.training_defaults,
        "learning_rate": 0.001,
        "wide_optimizer": {"name": "ftrl", "learning_rate": 0.05},
    }

    def interactions(self, vectors: tf.Tensor) -> tf.Tensor | None:
        return None

    def wide_variables(self) -> list[tf.Variable]:
        return self.embedding.first_order
