"""Training batches: shuffled by (seed, epoch), so that a resumed run sees what the interrupted one would have seen."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays


class Batches:
    """Rows in memory, served as batches. A batch is one gather per column: no row is touched alone.

    Args:
        columns: name → array [rows] or [rows, width].
        batch_size: rows per batch; the last batch of an epoch may be smaller.
        seed: of the order.

    """

    def __init__(self, columns: Arrays, batch_size: int, seed: int) -> None:
        self._columns = {name: tf.constant(values) for name, values in columns.items()}
        self.rows = len(next(iter(columns.values())))
        self.batch_size = min(batch_size, self.rows)
        self._seed = seed

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.rows // self.batch_size)

    def epoch(self, number: int, *, skip: int = 0) -> tf.data.Dataset:
        """Batches of epoch `number` (from 0), without the first `skip`."""
        order = np.random.default_rng([self._seed, number]).permutation(self.rows)
        return self._dataset(order[skip * self.batch_size :])

    def in_order(self) -> tf.data.Dataset:
        """All rows once, as they stand."""
        return self._dataset(np.arange(self.rows))

    def _dataset(self, order: np.ndarray) -> tf.data.Dataset:
        size = self.batch_size
        full = len(order) // size * size
        indices = tf.data.Dataset.from_tensor_slices(order[:full].reshape(-1, size))
        if full < len(order):
            indices = indices.concatenate(tf.data.Dataset.from_tensors(order[full:]))
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return indices.map(self._gather, num_parallel_calls=1, deterministic=True).prefetch(4).with_options(options)

    def _gather(self, indices: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.gather(values, indices) for name, values in self._columns.items()}
