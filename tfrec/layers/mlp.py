"""A multi-layer perceptron as rankers use it: a tower that ends in one number."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfrec.layers.relu_tower import ReluTower


class MLP(ReluTower):
    """Dense ReLU layers, then one linear output."""

    def __init__(
        self, inputs: int, units: Sequence[int], *, input_dropout: float = 0.0, dropout: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__(inputs, units, 1, input_dropout=input_dropout, dropout=dropout, seed=seed, name="mlp")

    def call(
        self,
        values: tf.Tensor,
        seeds: Sequence[tf.Tensor] | None = None,
        compute_type: tf.DType = tf.float32,
    ) -> tf.Tensor:
        """Float [batch, inputs] → float32 [batch]; arguments as those of the tower."""
        return tf.reshape(super().call(values, seeds, compute_type), [-1])
