r"""Gated attention without a softmax: HSTU, the encoder of generative recommenders (Zhai et al. 2024, equations 1–3).

.. math:: U, V, Q, K = \mathrm{SiLU}(\mathrm{norm}(x) W), \quad O = \tfrac{1}{n} \mathrm{SiLU}(Q K^T + B) V, \quad
          x \leftarrow x + (\mathrm{norm}(O) \circ U) W_o + b_o

without a feed-forward part: a layer has 5 dim² weights where one of `attention` has 12. The normalisation is
`rms_norm`; where steps stand, and the biases B between two of them, are those of `attending`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import tensorflow as tf

from tfrec.layers.byte_dropout import kept_shares
from tfrec.layers.pointwise_attention import pointwise_attention
from tfrec.layers.rms_norm import rms_norm
from tfrec.models.sequences.attending import AttendingConfig, AttendingEncoder, dropped, product
from tfrec.models.sequences.encoder import Mode, Steps


class HstuConfig(AttendingConfig):
    """Layers of gated attention."""

    kind: Literal["hstu"] = "hstu"

    def activations(self, dim: int, length: int) -> int:
        return self.layers * (7 * dim + self.heads * length)


class _Layer(NamedTuple):
    """Variables of one layer."""

    norm_input: tf.Variable
    gates_values: tf.Variable  # U and V. [dim, 2 · dim]
    queries_keys: tf.Variable  # [dim, 2 · dim]
    norm_attended: tf.Variable
    output: tf.Variable  # [dim, dim]
    output_bias: tf.Variable


class HstuEncoder(AttendingEncoder):
    """Stacked layers of gated attention."""

    def __init__(self, config: HstuConfig, dim: int, length: int, seed: int, *, is_causal: bool) -> None:
        """Make the layers; arguments and errors are those of `AttendingEncoder`."""
        super().__init__("hstu_encoder", config, dim, length, seed, is_causal=is_causal)
        self._dropout = config.dropout

        def matrix(columns: int, salt: int, name: str) -> tf.Variable:
            drawn = tf.random.stateless_normal([dim, columns], [seed, salt], stddev=(2.0 / (dim + columns)) ** 0.5)
            return tf.Variable(drawn, name=name)

        self.layers_of = [
            _Layer(
                tf.Variable(tf.ones([dim]), name=f"norm_input_{number}"),
                matrix(2 * dim, 3 * number + 1, f"gates_values_{number}"),
                matrix(2 * dim, 3 * number + 2, f"queries_keys_{number}"),
                tf.Variable(tf.ones([dim]), name=f"norm_attended_{number}"),
                matrix(dim, 3 * number + 3, f"gated_output_{number}"),
                tf.Variable(tf.zeros([dim]), name=f"gated_output_bias_{number}"),
            )
            for number in range(config.layers)
        ]
        self.norm_output = tf.Variable(tf.ones([dim]), name="norm_output")

    def encode(self, steps: Steps, mode: Mode) -> tf.Tensor:
        rows, length = tf.unstack(tf.shape(steps.segments))
        masks: list[tf.Tensor | None] = [None] * (1 + self._depth)
        if mode.seed is not None and self._dropout:
            masks = list(kept_shares(len(masks), tf.stack([rows * length, self._dim]), self._dropout, mode.seed))
        sees, values = self._mask(steps), dropped(self._placed(steps), masks[0])
        for layer, bias, mask in zip(self.layers_of, self._biases(steps), masks[1:], strict=True):
            normed = tf.cast(rms_norm(values, layer.norm_input), mode.compute_type)
            gates, others = tf.split(tf.nn.silu(product(normed, layer.gates_values)), 2, axis=1)
            queries, keys = self._by_head(tf.nn.silu(product(normed, layer.queries_keys)), length, 2)
            others = self._by_head(others, length, 1)[0]
            attended = pointwise_attention(queries, keys, others, sees, bias, longest=self._length)
            values += dropped(self._gated(attended, gates, layer), mask)
        return tf.reshape(rms_norm(values, self.norm_output), [rows, length, self._dim])

    def summarise(self, steps: Steps, last: tf.Tensor) -> tf.Tensor:
        encoded = self.encode(steps, Mode())
        return tf.gather(encoded, last, batch_dims=1)

    def _gated(self, attended: tf.Tensor, gates: tf.Tensor, layer: _Layer) -> tf.Tensor:
        """[rows, heads, length, dim / heads] and [rows · length, dim] → what a layer adds, float32."""
        normed = rms_norm(tf.cast(self._by_step(attended), tf.float32), layer.norm_attended)
        joined = tf.cast(normed, gates.dtype) * gates
        return tf.nn.bias_add(tf.cast(product(joined, layer.output), tf.float32), layer.output_bias)
