r"""A tower of ReLU layers over the vectors of a pair, each half as wide as what it reads (He et al. 2017, equation 10).

.. math:: z_1 = [p_u; q_i], \qquad z_{l + 1} = \mathrm{relu}(W_l^\top z_l + b_l), \qquad s(u, i) = h^\top z_{L + 1} + b

The first layer is a sum of what it makes of the user and of the item (`pair_rows.py`), so its matrix has two halves.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfrec.layers.dropout import dropout


def tower_widths(dim: int, layers: int) -> tuple[int, ...]:
    """Widths of the layers over two vectors of `dim` numbers."""
    return tuple(max(2 * dim >> layer, 1) for layer in range(1, layers + 1))


class PairTower(tf.Module):
    """The weights, and what they make of pairs."""

    def __init__(self, dim: int, layers: int, *, dropout: float, seed: int, name: str) -> None:
        """Draw the matrices (Glorot uniform); biases begin at 0.

        Args:
            dim: of the user's and of the item's vector.
            layers: 1 or more.
            dropout: behind each layer.
            seed: of the matrices.
            name: of the tower.

        """
        super().__init__(name=name)
        self.widths, self._rate = tower_widths(dim, layers), dropout

        def matrix(rows: int, columns: int, fan_in: int, salt: int, title: str) -> tf.Variable:
            limit = (6.0 / (fan_in + columns)) ** 0.5
            initial = tf.random.stateless_uniform([rows, columns], [seed, salt], -limit, limit)
            return tf.Variable(initial, name=f"{name}/{title}")

        first, last = self.widths[0], self.widths[-1]
        self.user_kernel = matrix(dim, first, 2 * dim, 0, "user_kernel")
        self.item_kernel = matrix(dim, first, 2 * dim, 1, "item_kernel")
        self.first_bias = tf.Variable(tf.zeros([first]), name=f"{name}/first_bias")
        shapes = list(zip(self.widths, self.widths[1:], strict=False))
        self.kernels = [matrix(*shape, shape[0], 2 + layer, f"kernel_{layer}") for layer, shape in enumerate(shapes)]
        self.biases = [
            tf.Variable(tf.zeros([width]), name=f"{name}/bias_{layer}") for layer, (_, width) in enumerate(shapes)
        ]
        self.output = matrix(last, 1, last, 2 + len(shapes), "output")
        self.output_bias = tf.Variable(0.0, name=f"{name}/output_bias")

    def of_users(self, vectors: tf.Tensor) -> tf.Tensor:
        """The user's part of the first layer. float32 [n, dim] → [n, widths[0]]"""
        return tf.matmul(vectors, self.user_kernel)

    def of_items(self, vectors: tf.Tensor) -> tf.Tensor:
        """The item's part of the first layer, with its bias. float32 [n, dim] → [n, widths[0]]"""
        return tf.matmul(vectors, self.item_kernel) + self.first_bias

    def logits(
        self, sums: tf.Tensor, seeds: Sequence[tf.Tensor] | None = None, compute_type: tf.DType = tf.float32
    ) -> tf.Tensor:
        """The tower from its first ReLU on.

        Args:
            sums: of the user's and the item's part. float32 [pairs, widths[0]]
            seeds: of the dropouts, int32 [2] each, one for each layer; None outside of training.
            compute_type: of the hidden layers; the output is always float32, a logit of 8 bits could not rank.

        Returns:
            float32 [pairs].

        """
        values = self._activated(tf.cast(sums, compute_type), seeds, 0)
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True), start=1):
            product = tf.matmul(values, tf.cast(kernel, compute_type))
            values = self._activated(tf.nn.bias_add(product, tf.cast(bias, compute_type)), seeds, layer)
        return tf.reshape(tf.matmul(tf.cast(values, tf.float32), self.output), [-1]) + self.output_bias

    def _activated(self, values: tf.Tensor, seeds: Sequence[tf.Tensor] | None, layer: int) -> tf.Tensor:
        return dropout(tf.nn.relu(values), self._rate, None if seeds is None else seeds[layer])
