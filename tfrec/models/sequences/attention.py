r"""Self-attention over a sequence (SASRec, Kang & McAuley 2018; bidirectional BERT4Rec, Sun et al. 2019).

.. math:: x \leftarrow x + A(\mathrm{norm}(x)), \qquad x \leftarrow x + W_2\, \mathrm{ReLU}(W_1\, \mathrm{norm}(x))

with the normalisation (`rms_norm`) before each part and once more behind the last, and learnt vectors of the places
added first, counted from the start of a segment. A learnt number may be added to the logit of two steps' attention:
with `relative_places` one for each layer, head and number of steps between them (Shaw et al. 2018; as a bias Raffel et
al. 2020, section 2.1, here without buckets), with `relative_time` one for each head and octave of the time between
them, as TiSASRec tells gaps apart (Li et al. 2020).
"""

from __future__ import annotations

import itertools
from typing import ClassVar, Literal, NamedTuple

import tensorflow as tf
from pydantic import Field

from tfrec.errors import ConfigError
from tfrec.layers.block_attention import NEVER, block_attention, block_mask
from tfrec.layers.byte_dropout import kept_shares
from tfrec.layers.feed_forward import feed_forward
from tfrec.layers.rms_norm import rms_norm
from tfrec.layers.tables import look_up
from tfrec.models.sequences.encoder import EncoderConfig, Mode, SequenceEncoder, Steps
from tfrec.models.sequences.time_vectors import OCTAVES, bias_of_gaps, octave

POSITION_STDDEV = 0.02


class AttentionConfig(EncoderConfig):
    """Layers of self-attention."""

    kind: Literal["attention"] = "attention"
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1, description="of each layer; they divide model.embedding_dim")
    expansion: float = Field(4.0, gt=0, description="width of the feed-forward part over that of the steps")
    dropout: float = Field(0.2, ge=0, lt=1, description="of the steps' vectors and of what each part adds to them")
    relative_places: bool = Field(True, description="attention is biased by the number of steps between two steps")
    relative_time: bool = Field(False, description="attention is biased by the time between two steps")

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


class AttentionEncoder(SequenceEncoder):
    """Stacked self-attention and feed-forward parts."""

    can_look_ahead: ClassVar[bool] = True

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
        super().__init__(name="attention_encoder")
        if dim % config.heads:
            raise ConfigError(f"model.encoder.heads={config.heads}: must divide model.embedding_dim={dim}")
        self._config, self._is_causal = config, is_causal
        self._heads, self._dim, self._length = config.heads, dim, length
        width = max(1, round(config.expansion * dim))
        salts = itertools.count(1)

        def matrix(rows: int, columns: int, name: str) -> tf.Variable:
            drawn = tf.random.stateless_normal([rows, columns], [seed, next(salts)], stddev=(2.0 / (rows + dim)) ** 0.5)
            return tf.Variable(drawn, name=name)

        positions = tf.random.stateless_normal([length, dim], [seed, 0], stddev=POSITION_STDDEV)
        self.positions = tf.Variable(positions, name="positions")
        if config.relative_places:
            by_distance = tf.zeros([config.layers, config.heads, 2 * length - 1])
            self.bias_by_distance = tf.Variable(by_distance, name="bias_by_distance")
        self.reads_times = config.relative_time
        if config.relative_time:
            self.bias_by_gap = tf.Variable(tf.zeros([config.heads, OCTAVES]), name="bias_by_gap")
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
        values = _dropped(self._placed(steps), masks[0])
        for number, (layer, bias) in enumerate(zip(self.layers_of, self._biases(steps), strict=True)):
            normed = tf.cast(rms_norm(values, layer.norm_attention), mode.compute_type)
            queries = self._by_head(_times(normed, layer.queries), length, 1)[0]
            keys, others = self._by_head(_times(normed, layer.keys_values), length, 2)
            attended = block_attention(queries, keys, others, mask, bias)
            values += _dropped(self._joined(attended, layer), masks[1 + 2 * number])
            values += _dropped(_feed_forward(values, layer, mode.compute_type), masks[2 + 2 * number])
        return tf.reshape(rms_norm(values, self.norm_output), [rows, length, self._dim])

    def summarise(self, steps: Steps, last: tf.Tensor) -> tf.Tensor:
        rows, length = tf.unstack(tf.shape(steps.segments))
        sees = self._mask(steps)
        values = self._placed(steps)
        asked = tf.range(rows) * length + last
        for number, (layer, bias) in enumerate(zip(self.layers_of, self._biases(steps), strict=True)):
            mask = sees if bias is None else sees + bias
            normed = rms_norm(values, layer.norm_attention)
            keys, others = self._by_head(_times(normed, layer.keys_values), length, 2)
            if number == len(self.layers_of) - 1:  # nobody looks at the other steps any more
                values, normed = tf.gather(values, asked), tf.gather(normed, asked)
                mask, length = tf.gather(mask, last[:, None], axis=2, batch_dims=1), 1
            queries = self._by_head(_times(normed, layer.queries), length, 1)[0]
            values += self._joined(block_attention(queries, keys, others, mask), layer)
            values += _feed_forward(values, layer, tf.float32)
        return rms_norm(values, self.norm_output)

    def _mask(self, steps: Steps) -> tf.Tensor:
        if steps.sees is None:
            return block_mask(steps.segments, is_causal=self._is_causal)
        return tf.where(steps.sees, 0.0, NEVER)[:, None]

    def _biases(self, steps: Steps) -> list[tf.Tensor | None]:
        """Of each layer, for each pair of steps: float32 [rows or 1, heads, length, length]."""
        times, by_time = steps.times_ms, None
        if self.reads_times and times is not None:
            by_time = bias_of_gaps(self.bias_by_gap, octave(tf.abs(times[:, :, None] - times[:, None, :])))
        if not self._config.relative_places:
            return [by_time] * len(self.layers_of)
        distances = self._distances(steps) + self._length - 1
        # Unstacked and not indexed: the gradient of a slice is a table of zeros to be added up.
        tables = tf.unstack(self.bias_by_distance)
        by_place = [tf.transpose(tf.gather(table, distances, axis=1), [1, 0, 2, 3]) for table in tables]
        return [bias if by_time is None else bias + by_time for bias in by_place]

    def _distances(self, steps: Steps) -> tf.Tensor:
        """How many steps the one (axis 1) comes after the other (axis 2), int32 [rows or 1, length, length]."""
        # Where steps stand in a row in their order, the distances are those of all rows.
        places = tf.range(tf.shape(steps.segments)[1])[None] if steps.sees is None else steps.places
        # A row may be longer than a segment can be: what lies further apart than that never meets.
        return tf.clip_by_value(places[:, :, None] - places[:, None, :], 1 - self._length, self._length - 1)

    def _placed(self, steps: Steps) -> tf.Tensor:
        """Steps with the vectors of their places, [rows · length, dim]."""
        return tf.reshape(steps.vectors + look_up(self.positions, steps.places), [-1, self._dim])

    def _by_head(self, values: tf.Tensor, length: tf.Tensor, parts: int) -> list[tf.Tensor]:
        """[rows · length, parts · dim] → `parts` tensors [rows, heads, length, dim / heads]."""
        shaped = tf.reshape(values, [-1, length, parts, self._heads, self._dim // self._heads])
        return tf.unstack(tf.transpose(shaped, [2, 0, 3, 1, 4]), num=parts)

    def _joined(self, attended: tf.Tensor, layer: _Layer) -> tf.Tensor:
        """[rows, heads, length, dim / heads] → what the attention adds, float32 [rows · length, dim]."""
        joined = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, self._dim])
        return tf.cast(_times(joined, layer.output), tf.float32)


def _times(values: tf.Tensor, matrix: tf.Variable) -> tf.Tensor:
    return tf.matmul(values, tf.cast(matrix, values.dtype))


def _feed_forward(values: tf.Tensor, layer: _Layer, compute_type: tf.DType) -> tf.Tensor:
    normed = tf.cast(rms_norm(values, layer.norm_feed_forward), compute_type)
    weights = [tf.cast(part, compute_type) for part in (layer.wide, layer.wide_bias, layer.narrow)]
    return tf.nn.bias_add(tf.cast(feed_forward(normed, *weights), tf.float32), layer.narrow_bias)


def _dropped(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    return values if mask is None else values * mask
