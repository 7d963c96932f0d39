r"""Attention within the segments of packed rows, with its gradient written out.

.. math:: P = \mathrm{softmax}\Bigl(\frac{Q K^T}{\sqrt{d}} + M + B\Bigr), \qquad O = P V

M is 0 where a step may look and −∞ elsewhere, B an optional bias that is learnt. With G = ∂L/∂O

.. math:: \frac{\partial L}{\partial V} = P^T G, \quad
          S = P \circ \bigl(G V^T - \mathrm{rowsum}(G \circ O)\bigr), \quad
          \frac{\partial L}{\partial Q} = \frac{S K}{\sqrt d}, \quad
          \frac{\partial L}{\partial K} = \frac{S^T Q}{\sqrt d}, \quad \frac{\partial L}{\partial B} = S

where a bias that all rows share has the sum of theirs.
rowsum(G ∘ O) stands for that of the probabilities times their gradients (Dao et al. 2022, appendix B.2), which would be
a pass over all pairs of steps.
TensorFlow (2.20) has no fused operation for attention on any device: products and the softmax are its fastest parts.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

NEVER = -1e9  # e to it is 0, and a row of nothing else stays finite


def block_mask(segments: tf.Tensor, *, is_causal: bool) -> tf.Tensor:
    """0 where a step (axis 1) may look at another one (axis 2), else `NEVER`.

    Args:
        segments: number of each step's segment in its row; padding may have any of its own. int [rows, length]
        is_causal: a step sees none that come after it.

    Returns:
        float32 [rows, 1, length, length]; every step sees itself.

    """
    sees = tf.equal(segments[:, :, None], segments[:, None, :])
    if is_causal:
        places = tf.range(tf.shape(segments)[1])
        sees &= places[:, None] >= places[None, :]
    return tf.where(sees, 0.0, NEVER)[:, None]


def block_attention(
    queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None = None
) -> tf.Tensor:
    """Attend; gradients reach queries, keys, values and the bias.

    Args:
        queries: of the type that matrices are multiplied in. float [rows, heads, length, head_dim]
        keys: float [rows, heads, length, head_dim].
        values: float [rows, heads, length, head_dim].
        mask: of `block_mask`. float32 [rows, 1, length, length]
        bias: added to the logits. float32 [rows, heads, length, length]; [1, heads, length, length] where all rows
            share it; or None.

    Returns:
        As the queries.

    """
    scale = int(queries.shape[-1]) ** -0.5
    compute = queries.dtype

    def forward(
        q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, b: tf.Tensor | None
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
        logits = tf.cast(tf.matmul(q * tf.cast(scale, compute), k, transpose_b=True), tf.float32) + mask
        shares = tf.nn.softmax(logits if b is None else logits + b)
        narrow = tf.cast(shares, compute)
        output = tf.matmul(narrow, v)

        def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
            along = tf.reduce_sum(tf.cast(upstream * output, tf.float32), axis=-1, keepdims=True)
            by_share = tf.cast(tf.matmul(upstream, v, transpose_b=True), tf.float32)
            by_logit = shares * (by_share - along)
            scaled = tf.cast(by_logit * scale, compute)
            found = [tf.matmul(scaled, k), tf.matmul(scaled, q, transpose_a=True)]
            found.append(tf.matmul(narrow, upstream, transpose_a=True))
            if b is None:
                return found
            return [*found, tf.reduce_sum(by_logit, axis=0, keepdims=True) if b.shape[0] == 1 else by_logit]

        return output, gradient

    if bias is None:
        return tf.custom_gradient(lambda q, k, v: forward(q, k, v, None))(queries, keys, values)
    return tf.custom_gradient(forward)(queries, keys, values, bias)
