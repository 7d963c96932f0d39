r"""The cross network of DCN-V2, on the layer of TensorFlow Recommenders (Wang et al. 2021, eq. 1 and 2).

.. math:: x_{l+1} = x_0 \odot (W_l x_l + b_l) + x_l, \qquad W_l \text{ full, or } V_l U_l \text{ of low rank}

After n layers every component is a polynomial of degree n + 1 of the input.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs


class CrossNetwork(tf.keras.layers.Layer):  # type: ignore[misc]
    """Cross layers, one behind the other."""

    def __init__(
        self, inputs: int, layers: int, *, rank: int | None = None, seed: int = 0, dtype: Any = tf.float32
    ) -> None:
        """Make the layers.

        Args:
            inputs: width of the input and of the result.
            layers: how many.
            rank: of the matrices; None for full ones.
            seed: of the kernels (Glorot uniform).
            dtype: of the weights.

        """
        super().__init__(name="cross_network", dtype=dtype)
        self._crosses = [
            tfrs.layers.feature_interaction.Cross(
                projection_dim=rank, kernel_initializer=SeededGlorot(seed, index), name=f"cross_{index}", dtype=dtype
            )
            for index in range(layers)
        ]
        nothing = tf.zeros([1, inputs], dtype)
        for layer in self._crosses:
            layer(nothing)  # its variables are made by the first call

    @property
    def kernels(self) -> list[tf.Variable]:
        """The matrices, of a low rank two for each layer: [inputs, rank] and [rank, inputs]."""
        return [variable for variable in self.trainable_variables if variable.shape.rank == 2]

    @property
    def biases(self) -> list[tf.Variable]:
        """One for each layer. float [inputs]"""
        return [variable for variable in self.trainable_variables if variable.shape.rank == 1]

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Float [batch, inputs] → float [batch, inputs]."""
        crossed = values
        for layer in self._crosses:
            crossed = layer(values, crossed)
        return crossed


class SeededGlorot(tf.keras.initializers.Initializer):  # type: ignore[misc]
    """Glorot uniform of a seed, a layer and a shape: those of Keras give two matrices of one layer the same numbers."""

    def __init__(self, seed: int, layer: int) -> None:
        self._seed, self._layer = seed, layer

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        rows, columns = shape
        limit = (6.0 / (rows + columns)) ** 0.5
        seed = tf.random.experimental.stateless_fold_in(tf.constant([self._seed, self._layer], tf.int32), rows)
        return tf.cast(tf.random.stateless_uniform([rows, columns], seed, -limit, limit), dtype or tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._seed, "layer": self._layer}
