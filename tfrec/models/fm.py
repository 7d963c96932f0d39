r"""A factorisation machine of second order, in time linear in the fields (Rendle 2010, eq. 1 and lemma 3.1).

.. math:: z = b + \sum_f w_f + \sum_{f<g} \langle v_f, v_g \rangle

w_f and v_f are the first-order weight and the vector of field f's value (of a number: times the number); prediction is
σ(z) for a binary label. A pair of values that never occurred together has a weight all the same: that of its vectors.
"""

from __future__ import annotations

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.layers import EmbeddedFeatures, factorization_machine
from tfrec.models.towers.vector_fields import VectorFieldConfig, VectorFieldRanking


class FMConfig(VectorFieldConfig):
    """Choices of the factorisation machine."""


class FM(VectorFieldRanking):
    """First and second order."""

    Config = FMConfig
    config: FMConfig

    def interactions(self, vectors: tf.Tensor) -> tf.Tensor:
        """Vectors of the fields [batch, fields, dim] → float [batch]."""
        return factorization_machine(vectors)

    def _logits(self, embedded: EmbeddedFeatures, features: Tensors, *, training: bool) -> tf.Tensor:
        return super()._logits(embedded, features, training=training) + self.interactions(embedded.vectors)
