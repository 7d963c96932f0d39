r"""DeepFM: a factorisation machine and a deep network on the same embeddings (Guo et al. 2017, eq. 1–4).

.. math:: z = b + \sum_f w_f + \sum_{f<g} \langle v_f, v_g \rangle + \mathrm{MLP}([v_1, \dots, v_F])

w_f and v_f are the first-order weight and the vector of field f's value; prediction is σ(z) for a binary label.
Declared crosses have first-order weights, or vectors too (`crosses=both`).
"""

from __future__ import annotations

import tensorflow as tf

from tfrec.layers import factorization_machine
from tfrec.models.towers.deep_fields import DeepFieldConfig, DeepFieldRanking


class DeepFMConfig(DeepFieldConfig):
    """Choices of DeepFM."""


class DeepFM(DeepFieldRanking):
    """FM and MLP on shared embeddings."""

    Config = DeepFMConfig
    config: DeepFMConfig

    def interactions(self, vectors: tf.Tensor) -> tf.Tensor:
        return factorization_machine(vectors)
