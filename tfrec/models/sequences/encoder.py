"""What every encoder of sequences is: steps in, one vector for each out."""

from __future__ import annotations

import abc
from typing import ClassVar, NamedTuple

import tensorflow as tf

from tfrec.config_file import Config


class Steps(NamedTuple):
    """Packed rows of steps; padding stands at the end of a row.

    Attributes:
        vectors: float32 [rows, length, dim].
        segments: number of each step's segment in its row, from 1; 0 is padding. int32 [rows, length]
        places: of the steps in their segments, from 0. int32 [rows, length]
        times_ms: Unix time of the steps; None where nobody asked for it. int64 [rows, length]
        sees: which step (axis 1) may look at which (axis 2), for encoders that can look ahead; None: as they were
            built. bool [rows, length, length]

    """

    vectors: tf.Tensor
    segments: tf.Tensor
    places: tf.Tensor
    times_ms: tf.Tensor | None = None
    sees: tf.Tensor | None = None


class Mode(NamedTuple):
    """How an encoder computes.

    Attributes:
        compute_type: of matrix products.
        seed: of what is dropped at random; None outside of training. int32 [2]

    """

    compute_type: tf.DType = tf.float32
    seed: tf.Tensor | None = None


class EncoderConfig(Config):
    """Base of the encoders' configs; `kind` tells them apart."""

    def activations(self, dim: int, length: int) -> int:
        """Numbers that a step of windows of this length takes on its way, about."""
        raise NotImplementedError


class SequenceEncoder(tf.keras.layers.Layer, abc.ABC):  # type: ignore[misc]
    """Reads steps; a step's output knows of its own segment alone, and where it is causal of no later step."""

    can_look_ahead: ClassVar[bool] = False  # whether it can be built to read a whole segment at every step
    reads_times: bool = False  # whether it wants `Steps.times_ms`

    @abc.abstractmethod
    def encode(self, steps: Steps, mode: Mode) -> tf.Tensor:
        """float32 [rows, length, dim]."""

    @abc.abstractmethod
    def summarise(self, steps: Steps, last: tf.Tensor) -> tf.Tensor:
        """Outputs of one step of each row alone, as the model answers; what only other steps need may be left out.

        Args:
            steps: one segment in every row.
            last: the step that is asked for. int32 [rows]

        Returns:
            float32 [rows, dim].

        """
