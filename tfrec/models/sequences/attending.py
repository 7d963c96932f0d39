"""What encoders share whose steps look at one another: where they stand, which they see, what lies between two.

Learnt vectors of the places are added to the steps first, counted from the start of a segment. A learnt number may be
added to what two steps say of each other: with `relative_places` one for each layer, head and number of steps between
them (Shaw et al. 2018; as a bias Raffel et al. 2020, section 2.1, here without buckets), with `relative_time` one for
each head and octave of the time between them, as TiSASRec tells gaps apart (Li et al. 2020).
"""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.errors import ConfigError
from tfrec.layers.block_attention import NEVER, block_mask
from tfrec.layers.tables import look_up
from tfrec.models.sequences.encoder import EncoderConfig, SequenceEncoder, Steps
from tfrec.models.sequences.time_vectors import OCTAVES, bias_of_gaps, octave

POSITION_STDDEV = 0.02


class AttendingConfig(EncoderConfig):
    """Layers in which steps look at one another."""

    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1, description="of each layer; they divide model.embedding_dim")
    dropout: float = Field(0.2, ge=0, lt=1, description="of the steps' vectors and of what each part adds to them")
    relative_places: bool = Field(True, description="attention is biased by the number of steps between two steps")
    relative_time: bool = Field(False, description="attention is biased by the time between two steps")


class AttendingEncoder(SequenceEncoder):
    """Places, masks and biases of steps; heads of vectors."""

    can_look_ahead: ClassVar[bool] = True

    def __init__(
        self, name: str, config: AttendingConfig, dim: int, length: int, seed: int, *, is_causal: bool
    ) -> None:
        """Make the tables of places and of what lies between two steps.

        Args:
            name: of the encoder.
            config: of the encoder.
            dim: of the steps.
            length: of the longest segment.
            seed: of the initial weights.
            is_causal: a step sees none after it.

        Raises:
            ConfigError: the heads do not divide the dimension.

        """
        super().__init__(name=name)
        if dim % config.heads:
            raise ConfigError(f"model.encoder.heads={config.heads}: must divide model.embedding_dim={dim}")
        self._is_causal, self._relative_places = is_causal, config.relative_places
        self._heads, self._dim, self._length, self._depth = config.heads, dim, length, config.layers
        positions = tf.random.stateless_normal([length, dim], [seed, 0], stddev=POSITION_STDDEV)
        self.positions = tf.Variable(positions, name="positions")
        if config.relative_places:
            by_distance = tf.zeros([config.layers, config.heads, 2 * length - 1])
            self.bias_by_distance = tf.Variable(by_distance, name="bias_by_distance")
        self.reads_times = config.relative_time
        if config.relative_time:
            self.bias_by_gap = tf.Variable(tf.zeros([config.heads, OCTAVES]), name="bias_by_gap")

    def _mask(self, steps: Steps) -> tf.Tensor:
        if steps.sees is None:
            return block_mask(steps.segments, is_causal=self._is_causal)
        return tf.where(steps.sees, 0.0, NEVER)[:, None]

    def _biases(self, steps: Steps) -> list[tf.Tensor | None]:
        """Of each layer, for each pair of steps: float32 [rows or 1, heads, length, length]."""
        times, by_time = steps.times_ms, None
        if self.reads_times and times is not None:
            by_time = bias_of_gaps(self.bias_by_gap, octave(tf.abs(times[:, :, None] - times[:, None, :])))
        if not self._relative_places:
            return [by_time] * self._depth
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

    def _by_step(self, attended: tf.Tensor) -> tf.Tensor:
        """[rows, heads, length, dim / heads] → [rows · length, dim]."""
        return tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, self._dim])


def product(values: tf.Tensor, matrix: tf.Variable) -> tf.Tensor:
    """The product, in the type of the values."""
    return tf.matmul(values, tf.cast(matrix, values.dtype))


def dropped(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Values times the mask of a dropout; None: all of them."""
    return values if mask is None else values * mask
