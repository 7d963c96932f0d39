r"""Attention without a softmax, with its gradient written out (HSTU, Zhai et al. 2024, equation 2).

.. math:: A = \frac{1}{n} \, S \circ \sigma(S), \quad S = Q K^T + M + B, \qquad O = A V

Each step takes from each other one as much as the two say, and not a share of 1: how often something was taken stays
visible. M is 0 where a step may look and about −∞ elsewhere, where S ∘ σ(S) is 0. With G = ∂L/∂O

.. math:: \frac{\partial L}{\partial V} = A^T G, \quad
          D = \tfrac{1}{n} \, G V^T \circ \sigma(S) \circ \bigl(1 + S \circ (1 - \sigma(S))\bigr), \quad
          \frac{\partial L}{\partial Q} = D K, \quad
          \frac{\partial L}{\partial K} = D^T Q, \quad \frac{\partial L}{\partial B} = D
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def pointwise_attention(
    queries: tf.Tensor,
    keys: tf.Tensor,
    values: tf.Tensor,
    mask: tf.Tensor,
    bias: tf.Tensor | None = None,
    *,
    longest: int,
) -> tf.Tensor:
    """Attend; gradients reach queries, keys, values and the bias.

    Args:
        queries: of the type that matrices are multiplied in. float [rows, heads, length, head_dim]
        keys: float [rows, heads, length, head_dim].
        values: float [rows, heads, length, head_dim].
        mask: of `block_mask`. float32 [rows, 1, length, length]
        bias: added to the products. float32 [rows, heads, length, length]; [1, heads, length, length] where all rows
            share it; or None.
        longest: n, the same for all steps.

    Returns:
        As the queries.

    """
    compute, scale = queries.dtype, 1.0 / longest

    def forward(
        q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, b: tf.Tensor | None
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
        sums = tf.cast(tf.matmul(q, k, transpose_b=True), tf.float32) + mask
        sums = sums if b is None else sums + b
        gates = tf.sigmoid(sums)
        taken = tf.cast(sums * gates * scale, compute)

        def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
            by_taken = tf.cast(tf.matmul(upstream, v, transpose_b=True), tf.float32) * scale
            by_sum = by_taken * gates * (1.0 + sums * (1.0 - gates))
            narrow = tf.cast(by_sum, compute)
            found = [tf.matmul(narrow, k), tf.matmul(narrow, q, transpose_a=True)]
            found.append(tf.matmul(taken, upstream, transpose_a=True))
            if b is None:
                return found
            return [*found, tf.reduce_sum(by_sum, axis=0, keepdims=True) if b.shape[0] == 1 else by_sum]

        return tf.matmul(taken, v), gradient

    if bias is None:
        return tf.custom_gradient(lambda q, k, v: forward(q, k, v, None))(queries, keys, values)
    return tf.custom_gradient(forward)(queries, keys, values, bias)
