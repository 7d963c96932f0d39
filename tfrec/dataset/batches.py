"""Training batches: shuffled by (seed, epoch), so that a resumed run sees what the interrupted one would have seen."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import tensorflow as tf

from tfrec.dataset.batch_plan import BatchPlan
from tfrec.dataset.memory_rows import MemoryRows
from tfrec.dataset.records import Arrays

PREFETCH = 4  # batches


class Batches:
    """Rows in memory, served as batches; `StreamBatches` is its like for what memory does not hold.

    Args:
        columns: name → array [rows] or [rows, width].
        batch_size: rows per batch, all workers together; the last batch of an epoch may be smaller.
        seed: of the order.
        shard: (number, how many): a worker gets its share of each batch, and all shares together are the batch.

    Raises:
        ConfigError: there are more workers than rows in a batch.

    """

    def __init__(self, columns: Arrays, batch_size: int, seed: int, *, shard: tuple[int, int] = (0, 1)) -> None:
        self._memory = MemoryRows(columns)
        self._plan = BatchPlan.of(self._memory.rows, batch_size, shard)
        self._seed = seed

    @property
    def rows(self) -> int:
        """Of an epoch, all workers together."""
        return self._plan.rows

    @property
    def batch_size(self) -> int:
        """Of all workers together."""
        return self._plan.batch_size

    @property
    def steps_per_epoch(self) -> int:
        return self._plan.steps

    def epoch(self, number: int, *, skip: int = 0) -> tf.data.Dataset:
        """Batches of epoch `number` (from 0), without the first `skip`."""
        return self._dataset(self._shuffled(number), skip)

    def forever(self, from_step: int = 0) -> tf.data.Dataset:
        """Epoch after epoch without end, beginning at a step counted from the start of the first.

        One dataset for all epochs: making one anew costs as much as some steps.
        """
        first, skip = divmod(from_step, self.steps_per_epoch)
        orders = tf.data.Dataset.counter(first).map(self._order_of, num_parallel_calls=1, deterministic=True)
        return self._served(orders.flat_map(self._cut).skip(skip))

    def in_order(self) -> tf.data.Dataset:
        """All rows once, as they stand."""
        return self._dataset(self._in_order(), 0)

    def explained_errors(self) -> AbstractContextManager[None]:
        """As `StreamBatches.explained_errors`; memory has no files that may be torn."""
        return nullcontext()

    def _shuffled(self, number: int) -> np.ndarray:
        return np.random.default_rng([self._seed, number]).permutation(self._in_order())

    @tf.autograph.experimental.do_not_convert  # nothing to translate, which takes a while
    def _order_of(self, number: tf.Tensor) -> tf.Tensor:
        order = tf.numpy_function(self._shuffled, [number], self._in_order().dtype, stateful=False)
        return tf.ensure_shape(order, [self.rows])

    @tf.autograph.experimental.do_not_convert
    def _cut(self, order: tf.Tensor) -> tf.data.Dataset:
        """Row numbers of an epoch → those of each batch, this worker's share of them."""
        plan = self._plan
        rows = plan.full_steps * plan.batch_size
        full = tf.reshape(order[:rows], [plan.full_steps, plan.batch_size])[:, plan.share(plan.batch_size)]
        indices = tf.data.Dataset.from_tensor_slices(full)
        if plan.rows_in_last:
            indices = indices.concatenate(tf.data.Dataset.from_tensors(order[rows:][plan.share(plan.rows_in_last)]))
        return indices

    def _served(self, indices: tf.data.Dataset) -> tf.data.Dataset:
        batches = indices.map(self._memory.take, num_parallel_calls=1, deterministic=True).prefetch(PREFETCH)
        return batches.with_options(served_as_it_is())

    def _in_order(self) -> np.ndarray:
        return np.arange(self.rows, dtype=np.int32 if self.rows < 1 << 31 else np.int64)

    def _dataset(self, order: np.ndarray, skip: int) -> tf.data.Dataset:
        plan = self._plan
        full = order[: plan.full_steps * plan.batch_size].reshape(-1, plan.batch_size)
        indices = tf.data.Dataset.from_tensor_slices(full[skip:, plan.share(plan.batch_size)])
        if plan.rows_in_last and skip < plan.steps:
            last = order[full.size :][plan.share(plan.rows_in_last)]
            indices = indices.concatenate(tf.data.Dataset.from_tensors(last))
        return self._served(indices)


def served_as_it_is() -> tf.data.Options:
    """Options of batches that are cut for their worker already: a distribution strategy must not cut them again."""
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # nothing to tune here, and it reads the clock twice for every record
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
