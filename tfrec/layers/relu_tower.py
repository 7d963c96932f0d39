"""A tower of dense layers that ends in a vector: the user's side of deep retrieval models, the inside of rankers."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfrec.layers.dropout import dropout


class ReluTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """Dense ReLU layers with dropout before and behind them, then a linear one (Covington et al. 2016, figure 3).

    Weights are float32. The hidden layers may compute in a shorter type while training; the output layer never does: a
    logit of 8 bits could not rank.
    """

    def __init__(
        self,
        inputs: int,
        units: Sequence[int],
        outputs: int,
        *,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        seed: int = 0,
        name: str = "relu_tower",
    ) -> None:
        """Make the layers.

        Args:
            inputs: width of the input.
            units: widths of the hidden layers, the widest first.
            outputs: width of the result.
            input_dropout: of the input.
            dropout: behind each hidden layer.
            seed: of the kernels (Glorot uniform).
            name: of the layer and, before a slash, of its variables.

        """
        super().__init__(name=name)
        self._rates = [input_dropout, *[dropout] * len(units)]
        kernels, biases = [], []
        for index, (rows, columns) in enumerate(zip([inputs, *units], [*units, outputs], strict=True)):
            limit = (6.0 / (rows + columns)) ** 0.5
            initial = tf.random.stateless_uniform([rows, columns], [seed, index], -limit, limit)
            kernels.append(tf.Variable(initial, name=f"{name}/kernel_{index}"))
            biases.append(tf.Variable(tf.zeros([columns]), name=f"{name}/bias_{index}"))
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
            seeds: of the dropouts, int32 [2] each, one more than there are hidden layers; None outside of training.
            compute_type: of the hidden layers.

        """
        last = len(self.kernels) - 1
        for index, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            values = dropout(values, self._rates[index], None if seeds is None else seeds[index])
            values = _affine(values, kernel, bias, tf.float32 if index == last else compute_type)
            if index < last:
                values = tf.nn.relu(values)
        return values


def _affine(values: tf.Tensor, kernel: tf.Variable, bias: tf.Variable, compute_type: tf.DType) -> tf.Tensor:
    product = tf.matmul(tf.cast(values, compute_type), tf.cast(kernel, compute_type))
    return tf.nn.bias_add(product, tf.cast(bias, compute_type))
