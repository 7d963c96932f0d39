r"""Normalisation by the root mean square (Zhang & Sennrich 2019): no mean is taken out, which costs less.

.. math:: y_d = g_d \frac{x_d}{r}, \qquad r = \sqrt{\tfrac{1}{D} \sum_d x_d^2 + \epsilon}

and, with h = g · ∂L/∂y,

.. math:: \frac{\partial L}{\partial x_d} = \frac{1}{r} \Bigl(h_d - \frac{x_d}{D\, r^2} \sum_k h_k x_k\Bigr)
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

EPSILON = 1e-6


@tf.custom_gradient  # type: ignore[untyped-decorator]
def rms_norm(
    values: tf.Tensor, gains: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Normalise the last dimension; the gradient is written out, which saves half the passes over the values.

    Args:
        values: float [..., dim].
        gains: float [dim].

    """
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(values), axis=-1, keepdims=True) + EPSILON)
    normed = values * inverse

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        scaled = upstream * gains
        along = tf.reduce_mean(scaled * normed, axis=-1, keepdims=True)
        axes = list(range(values.shape.rank - 1))
        return inverse * (scaled - normed * along), tf.reduce_sum(upstream * normed, axis=axes)

    return normed * gains, gradient
