r"""Self-attention over a sequence (SASRec, Kang & McAuley 2018; bidirectional BERT4Rec, Sun et al. 2019).

.. math:: x \leftarrow x + A(\mathrm{norm}(x)), \qquad x \leftarrow x + W_2\, \mathrm{ReLU}(W_1\, \mathrm{norm}(x))

with the normalisation (`rms_norm`) before each part and once more behind the last. Where steps stand, and the biases
between two of them, are those of `attending`.
"""

from __future__ import annotations

import itertools
from typing import Literal, NamedTuple

import tensorflow as tf
from pydantic import Field

from tfrec.layers.block_attention import block_attention
from tfrec.layers.byte_dropout import kept_shares
from tfrec.layers.feed_forward import feed_forward
from tfrec.layers.rms_norm import rms_norm
from tfrec.models.sequences.attending import AttendingConfig, AttendingEncoder, dropped, product
from tfrec.models.sequences.encoder import Mode, Steps


class AttentionConfig(AttendingConfig):
    """Layers of self-attention."""

    kind: Literal["attention"] = "attention"
    expansion: float = Field(4.0, gt=0, description="width of the feed-forward part over that of the steps")

    def activations(self, dim: int, length: int) -> int:
        return self.layers * (round((6 + self.expansion) * dim) + self.heads * length)


class _Layer(NamedTuple):
    """Variables of one layer."""

    norm_attention: tf.Variable
    queries: tf.Variable  # [dim, dim]
    keys_values: tf.Variable  # [dim, 2 · dim]
    output: tf.Variable
    norm_feed_forward: tf.Variable
    wide: tf.Variable
    wide_bias: tf.Variable
    narrow: tf.Variable
    narrow_bias: tf.Variable


class AttentionEncoder(AttendingEncoder):
    """Stacked self-attention and feed-forward parts."""

    def __init__(self, config: AttentionConfig, dim: int, length: int, seed: int, *, is_causal: bool) -> None:
        """Make the layers.

        Args:
            config: of the encoder.
            dim: of the steps.
            length: of the longest segment.
            seed: of the initial weights.
            is_causal: a step sees none after it.

        Raises:
            ConfigError: the heads do not divide the dimension.

        """
        super().__init__("attention_encoder", config, dim, length, seed, is_causal=is_causal)
        self._config = config
        width = max(1, round(config.expansion * dim))
        salts = itertools.count(1)

        def matrix(rows: int, columns: int, name: str) -> tf.Variable:
            drawn = tf.random.stateless_normal([rows, columns], [seed, next(salts)], stddev=(2.0 / (rows + dim)) ** 0.5)
            return tf.Variable(drawn, name=name)

        self.layers_of = [
            _Layer(
                tf.Variable(tf.ones([dim]), name=f"norm_attention_{number}"),
                matrix(dim, dim, f"queries_{number}"),
                matrix(dim, 2 * dim, f"keys_values_{number}"),
                matrix(dim, dim, f"attention_output_{number}"),
                tf.Variable(tf.ones([dim]), name=f"norm_feed_forward_{number}"),
                matrix(dim, width, f"wide_{number}"),
                tf.Variable(tf.zeros([width]), name=f"wide_bias_{number}"),
                matrix(width, dim, f"narrow_{number}"),
                tf.Variable(tf.zeros([dim]), name=f"narrow_bias_{number}"),
            )
            for number in range(config.layers)
        ]
        self.norm_output = tf.Variable(tf.ones([dim]), name="norm_output")

    def encode(self, steps: Steps, mode: Mode) -> tf.Tensor:
        rows, length = tf.unstack(tf.shape(steps.segments))
        masks: list[tf.Tensor | None] = [None] * (1 + 2 * self._config.layers)
        if mode.seed is not None and self._config.dropout:
            shape = tf.stack([rows * length, self._dim])
            masks = list(kept_shares(len(masks), shape, self._config.dropout, mode.seed))
        mask = self._mask(steps)
        values = dropped(self._placed(steps), masks[0])
        for number, (layer, bias) in enumerate(zip(self.layers_of, self._biases(steps), strict=True)):
            normed = tf.cast(rms_norm(values, layer.norm_attention), mode.compute_type)
            queries = self._by_head(product(normed, layer.queries), length, 1)[0]
            keys, others = self._by_head(product(normed, layer.keys_values), length, 2)
            attended = block_attention(queries, keys, others, mask, bias)
            values += dropped(self._joined(attended, layer), masks[1 + 2 * number])
            values += dropped(_feed_forward(values, layer, mode.compute_type), masks[2 + 2 * number])
        return tf.reshape(rms_norm(values, self.norm_output), [rows, length, self._dim])

    def summarise(self, steps: Steps, last: tf.Tensor) -> tf.Tensor:
        rows, length = tf.unstack(tf.shape(steps.segments))
        sees = self._mask(steps)
        values = self._placed(steps)
        asked = tf.range(rows) * length + last
        for number, (layer, bias) in enumerate(zip(self.layers_of, self._biases(steps), strict=True)):
            mask = sees if bias is None else sees + bias
            normed = rms_norm(values, layer.norm_attention)
            keys, others = self._by_head(product(normed, layer.keys_values), length, 2)
            if number == len(self.layers_of) - 1:  # nobody looks at the other steps any more
                values, normed = tf.gather(values, asked), tf.gather(normed, asked)
                mask, length = tf.gather(mask, last[:, None], axis=2, batch_dims=1), 1
            queries = self._by_head(product(normed, layer.queries), length, 1)[0]
            values += self._joined(block_attention(queries, keys, others, mask), layer)
            values += _feed_forward(values, layer, tf.float32)
        return rms_norm(values, self.norm_output)

    def _joined(self, attended: tf.Tensor, layer: _Layer) -> tf.Tensor:
        """[rows, heads, length, dim / heads] → what the attention adds, float32 [rows · length, dim]."""
        return tf.cast(product(self._by_step(attended), layer.output), tf.float32)


def _feed_forward(values: tf.Tensor, layer: _Layer, compute_type: tf.DType) -> tf.Tensor:
    normed = tf.cast(rms_norm(values, layer.norm_feed_forward), compute_type)
    weights = [tf.cast(part, compute_type) for part in (layer.wide, layer.wide_bias, layer.narrow)]
    return tf.nn.bias_add(tf.cast(feed_forward(normed, *weights), tf.float32), layer.narrow_bias)
