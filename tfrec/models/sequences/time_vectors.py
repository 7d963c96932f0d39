r"""Time as vectors: how long since, on a scale of octaves, and where in the cycles of day and week (UTC).

Gaps of seconds and of months both matter, so a gap of s seconds has the bucket ⌊log₂(1 + s)⌋. Absolute time is none of
these: a net cannot say anything of what lies behind its training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tensorflow as tf

from tfrec.layers.tables import look_up

TimePart = Literal["gap", "hour", "weekday"]

OCTAVES = 32  # 2³² seconds are 136 years
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_ROWS: dict[TimePart, int] = {"gap": OCTAVES, "hour": 24, "weekday": 7}


def octave(gap_ms: tf.Tensor) -> tf.Tensor:
    """Bucket of a gap, int32; what lies in the future is no gap: 0."""
    seconds = tf.cast(tf.maximum(gap_ms, 0), tf.float32) / 1000.0
    return tf.minimum(tf.cast(tf.math.log(1.0 + seconds) / tf.math.log(2.0) + 1e-6, tf.int32), OCTAVES - 1)


def hour_of_day(times_ms: tf.Tensor) -> tf.Tensor:
    """0 … 23, int32."""
    return tf.cast(times_ms // HOUR_MS % 24, tf.int32)


def day_of_week(times_ms: tf.Tensor) -> tf.Tensor:
    """0 for Sunday … 6, int32; the first day of Unix time was a Thursday."""
    return tf.cast((times_ms // DAY_MS + 4) % 7, tf.int32)


class TimeVectors(tf.keras.layers.Layer):  # type: ignore[misc]
    """A table for each part of time; they start at 0 and are added up."""

    def __init__(self, parts: tuple[TimePart, ...], dim: int, name: str) -> None:
        super().__init__(name=name)
        self._dim = dim
        self.tables = {part: tf.Variable(tf.zeros([_ROWS[part], dim]), name=f"{name}_{part}") for part in parts}

    def of(self, times_ms: tf.Tensor, before_ms: tf.Tensor) -> tf.Tensor:
        """Vectors of moments.

        Args:
            times_ms: Unix time; 0 where it is not known, which adds nothing. int64 [...]
            before_ms: of the event before, or 0. int64 [...]

        Returns:
            float32 [..., dim].

        """
        is_known = times_ms > 0
        total = tf.zeros([*tf.unstack(tf.shape(times_ms)), self._dim])
        places: dict[TimePart, Callable[[], tf.Tensor]] = {
            "gap": lambda: octave(times_ms - before_ms),
            "hour": lambda: hour_of_day(times_ms),
            "weekday": lambda: day_of_week(times_ms),
        }
        for part, table in self.tables.items():
            is_there = is_known & (before_ms > 0) if part == "gap" else is_known
            total += tf.where(is_there[..., None], look_up(table, places[part]()), 0.0)
        return total


@tf.custom_gradient  # type: ignore[untyped-decorator]
def bias_of_gaps(table: tf.Tensor, octaves: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[object, ...]]]:
    """Bias of attention by the time between two steps (the idea of TiSASRec, Li et al. 2020; shared by all layers).

    Args:
        table: float32 [heads, octaves].
        octaves: of each pair of steps. int32 [rows, length, length]

    Returns:
        float32 [rows, heads, length, length].

    """

    def gradient(upstream: tf.Tensor) -> tuple[object, ...]:
        # Counting with weights takes a pass over the pairs; scattering their gradients would take many.
        flat = tf.reshape(octaves, [-1])
        by_head = tf.unstack(tf.transpose(upstream, [1, 0, 2, 3]), num=table.shape[0])
        sums = [
            tf.math.bincount(flat, weights=tf.reshape(one, [-1]), minlength=OCTAVES, maxlength=OCTAVES)
            for one in by_head
        ]
        return tf.stack(sums), None

    return tf.transpose(tf.gather(table, octaves, axis=1), [1, 0, 2, 3]), gradient
