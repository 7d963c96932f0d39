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

    embedding_l2: float = Field(0.02, ge=0, description="weight of the mean over rows of Σ_f ‖v_f‖²")


class WideDeep(FieldRanking):
    """A linear part and an MLP."""

    Config = WideDeepConfig
    config: WideDeepConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        **FieldRanking.training_defaults,
        "wide_optimizer": {"name": "ftrl", "learning_rate": 0.05},
    }

    def interactions(self, vectors: tf.Tensor) -> tf.Tensor | None:
        return None

    def wide_variables(self) -> list[tf.Variable]:
        return self.embedding.first_order
