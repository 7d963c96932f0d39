"""In which order an epoch reads its files: pieces of them, as integers that a tf.data graph can compute with.

A piece is (file, first row, rows, place): rows that stand together in a file, and where the first of them stands among
all rows of the worker. The order follows from (seed, epoch) alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

_FILES, _TURN = -1, -2  # salts beside the numbers of the windows


def own_pieces(rows_of_files: Sequence[int], own: slice) -> np.ndarray:
    """int64 [pieces, 4]: the rows `own` of all files one after the other. Only the files at its ends are cut."""
    ends = np.cumsum(np.asarray(rows_of_files, np.int64))
    starts = ends - np.asarray(rows_of_files, np.int64)
    first, last = np.maximum(starts, own.start), np.minimum(ends, own.stop)
    pieces = np.stack([np.arange(len(ends)), first - starts, last - first, first - own.start], axis=1)
    return pieces[last > first]


def draw(seed: int, epoch: tf.Tensor, salt: int | tf.Tensor) -> tf.Tensor:
    """int64 [2]: the seed of one stateless draw of an epoch."""
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.fold_in(key, tf.cast(salt, tf.int64))


def shuffled(pieces: np.ndarray, seed: int, epoch: tf.Tensor, window: int) -> tf.Tensor:
    """Pieces in the order of an epoch.

    Less than a window of the first piece goes to the end, so that the borders of the windows lie elsewhere in every
    epoch, even where there is one file only.
    """
    if len(pieces) == 0:
        return tf.constant(pieces)
    order = tf.random.experimental.stateless_shuffle(tf.range(len(pieces)), draw(seed, epoch, _FILES))
    ordered = tf.gather(tf.constant(pieces), order)
    most = tf.minimum(ordered[0, 2], window)
    turn = tf.random.stateless_uniform([], draw(seed, epoch, _TURN), 0, most, tf.int64)
    head = tf.stack([ordered[0, 0], ordered[0, 1], turn, ordered[0, 3]])
    return without_first(tf.concat([ordered, head[None]], axis=0), turn)


def without_first(pieces: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Pieces without their first `rows` rows; int64 [fewer, 4]."""
    lengths = pieces[:, 2]
    cut = tf.clip_by_value(rows - (tf.cumsum(lengths) - lengths), 0, lengths)
    moved = pieces + cut[:, None] * tf.constant([0, 1, -1, 1], tf.int64)
    return tf.boolean_mask(moved, moved[:, 2] > 0)
