r"""Wide & Deep: a linear model memorises, a network generalises, trained jointly (Cheng et al. 2016, eq. 3).

.. math:: z = b + \sum_f w_f + \sum_c w_c + \mathrm{MLP}([v_1, \dots, v_F])

w_f is the wide weight of field f's value, w_c that of a declared cross, v_f the vector of f in the deep part;
prediction is σ(z) for a binary label. The wide part follows FTRL with L1, as in the paper, and the deep part the job's
optimiser: Adam, or the paper's Adagrad (`train.optimizer=adagrad`).
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from tfrec.models.towers.deep_fields import DeepFieldConfig, DeepFieldRanking


class WideDeepConfig(DeepFieldConfig):
    """Choices of Wide & Deep: small vectors and no dropout; with no term for pairs, the MLP needs all it has."""

    embedding_dim: int = Field(16, ge=1)
    embedding_stddev: float = Field(0.001, gt=0, description="of the initial embeddings")
    kernel_l2: float = Field(0.0, ge=0, description="weight of half the squared norm of the MLP's kernels")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="of the embeddings on their way into the MLP")
    dropout: float = Field(0.0, ge=0, lt=1, description="behind each hidden layer")
    embedding_l2: float = Field(0.02, ge=0, description="weight of the mean over rows of Σ_f ‖v_f‖²")


class WideDeep(DeepFieldRanking):
    """A linear part and an MLP."""

    Config = WideDeepConfig
    config: WideDeepConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        **DeepFieldRanking.training_defaults,
        "learning_rate": 0.001,
        "wide_optimizer": {"name": "ftrl", "learning_rate": 0.05, "l1": 0.0005},
    }
