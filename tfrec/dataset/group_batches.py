"""Training batches of whole groups, such as requests or users, for losses that compare the rows of a group."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import tensorflow as tf

from tfrec.dataset.batches import Batches
from tfrec.dataset.memory_rows import MemoryRows
from tfrec.dataset.records import Arrays, Tensors

# int64, the group of a row; a column that these batches have beside those of the records. No feature can have its name.
GROUP = "row:group"
_NUMBER = "number"


class GroupBatches:
    """Rows in memory, served as batches that tear no group: `Batches` of groups, each in place of a row.

    Groups are shuffled by (seed, epoch), as the rows of `Batches` are, and every batch has equally many of them: those
    that make `batch_size` rows on average. The rows of a group stand beside each other, in the order of the records.

    Args:
        columns: name → array [rows] or [rows, width].
        groups: of the rows; any values that can be compared. [rows]
        batch_size: rows per batch on average, all workers together.
        seed: of the order.
        shard: (number, how many): a worker gets its groups of each batch.

    Raises:
        ConfigError: there are more workers than groups in a batch.

    """

    def __init__(
        self, columns: Arrays, groups: np.ndarray, batch_size: int, seed: int, *, shard: tuple[int, int] = (0, 1)
    ) -> None:
        names, group = np.unique(groups, return_inverse=True)
        order = np.argsort(group, kind="stable")
        sizes = np.bincount(group, minlength=len(names))
        served = {name: values[order] for name, values in columns.items()}
        self._memory = MemoryRows({**served, GROUP: group[order].astype(np.int64)})
        self._sizes = tf.constant(sizes, tf.int64)
        self._starts = tf.constant(np.cumsum(sizes) - sizes, tf.int64)
        per_batch = max(1, round(batch_size * len(names) / max(len(group), 1)))
        self._batches = Batches({_NUMBER: np.arange(len(names))}, per_batch, seed, shard=shard)

    @property
    def rows(self) -> int:
        """Of an epoch, all workers together."""
        return self._memory.rows

    @property
    def batch_size(self) -> int:
        """Mean rows of a batch, of all workers together."""
        return -(-self.rows // max(self.steps_per_epoch, 1))

    @property
    def steps_per_epoch(self) -> int:
        return self._batches.steps_per_epoch

    def epoch(self, number: int, *, skip: int = 0) -> tf.data.Dataset:
        """Batches of epoch `number` (from 0), without the first `skip`."""
        return self._served(self._batches.epoch(number, skip=skip))

    def forever(self, from_step: int = 0) -> tf.data.Dataset:
        """Epoch after epoch without end, beginning at a step counted from the start of the first."""
        return self._served(self._batches.forever(from_step))

    def explained_errors(self) -> AbstractContextManager[None]:
        """As `StreamBatches.explained_errors`; memory has no files that may be torn."""
        return nullcontext()

    def _served(self, numbers: tf.data.Dataset) -> tf.data.Dataset:
        return numbers.map(self._rows_of, num_parallel_calls=1, deterministic=True).prefetch(2)

    def _rows_of(self, batch: Tensors) -> Tensors:
        starts, sizes = tf.gather(self._starts, batch[_NUMBER]), tf.gather(self._sizes, batch[_NUMBER])
        ends = tf.cumsum(sizes)
        shift = tf.repeat(starts - (ends - sizes), sizes)  # from the place in the batch to that in memory
        return self._memory.take(shift + tf.range(tf.reduce_sum(sizes), dtype=tf.int64))
