"""A tower of dense layers that ends in a vector: the user's side of deep retrieval models."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfrec.layers.dropout import dropout


class ReluTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """Dense ReLU layers with dropout behind each, then a linear one (Covington et al. 2016, figure 3)."""

    def __init__(self, inputs: int, units: Sequence[int], outputs: int, *, dropout: float = 0.0, seed: int = 0) -> None:
        """Make the layers.

        Args:
            inputs: width of the input.
            units: widths of the hidden layers, the widest first.
            outputs: width of the result.
            dropout: behind each hidden layer.
            seed: of the kernels (Glorot uniform).

        """
        super().__init__(name="relu_tower")
        self._rate = dropout
        kernels, biases = [], []
        for index, (rows, columns) in enumerate(zip([inputs, *units], [*units, outputs], strict=True)):
            limit = (6.0 / (rows + columns)) ** 0.5
            initial = tf.random.stateless_uniform([rows, columns], [seed, index], -limit, limit)
            kernels.append(tf.Variable(initial, name=f"relu_tower/kernel_{index}"))
            biases.append(tf.Variable(tf.zeros([columns]), name=f"relu_tower/bias_{index}"))
        self.kernels: list[tf.Variable] = kernels
        self.biases: list[tf.Variable] = biases

    def call(
        self,
        values: tf.Tensor,
        seeds: Sequence[tf.Tensor] | None = None,
        compute_type: tf.DType = tf.float32,
    ) -> tf.Tensor:
        """Float [batch, inputs] → float32 [batch, outputs].

        Args:
            values: the input.
            seeds: of the dropouts, int32 [2] each, one per hidden layer; None outside of training.
            compute_type: of the matrix products.

        """
        last = len(self.kernels) - 1
        for index, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            product = tf.matmul(tf.cast(values, compute_type), tf.cast(kernel, compute_type))
            values = tf.cast(product, tf.float32) + bias
            if index < last:
                values = dropout(tf.nn.relu(values), self._rate, None if seeds is None else seeds[index])
        return values
