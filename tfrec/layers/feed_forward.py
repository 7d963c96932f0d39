r"""Two dense layers with a ReLU between them, with their gradient written out.

.. math:: H = \mathrm{ReLU}(X W + b), \qquad Y = H U

and, with G = ∂L/∂Y,

.. math:: \frac{\partial L}{\partial U} = (G^T H)^T, \quad
          D = G U^T \circ [H > 0], \quad
          \frac{\partial L}{\partial X} = D W^T, \quad
          \frac{\partial L}{\partial W} = X^T D, \quad
          \frac{\partial L}{\partial b} = \mathrm{colsum}(D)

H is the widest of all matrices, and a product reads it faster by its rows than by its columns: hence (GᵀH)ᵀ, where
TensorFlow would take HᵀG.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


@tf.custom_gradient  # type: ignore[untyped-decorator]
def feed_forward(
    values: tf.Tensor, wide: tf.Tensor, bias: tf.Tensor, narrow: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
    """Return Y; all of one type, that matrices are multiplied in.

    Args:
        values: X, float [rows, dim].
        wide: W, float [dim, width].
        bias: b, float [width].
        narrow: U, float [width, dim].

    Returns:
        float [rows, dim].

    """
    hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(values, wide), bias))

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
        by_narrow = tf.transpose(tf.matmul(upstream, hidden, transpose_a=True))
        by_hidden = tf.raw_ops.ReluGrad(gradients=tf.matmul(upstream, narrow, transpose_b=True), features=hidden)
        by_wide = tf.matmul(values, by_hidden, transpose_a=True)
        by_values = tf.matmul(by_hidden, wide, transpose_b=True)
        return by_values, by_wide, tf.raw_ops.BiasAddGrad(out_backprop=by_hidden), by_narrow

    return tf.matmul(hidden, narrow), gradient
