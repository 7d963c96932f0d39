r"""Training batches of packed windows: several users' events one after another in rows of one length, with no gaps.

The users of an epoch stand in a drawn order, their events oldest first, in one stream that starts at a drawn place.
Every row is the next `length` events of that stream, so that each user's past is tiled by windows whose borders differ
from epoch to epoch, all rows but the last are full, and every epoch has equally many. What belongs together in a row
is a segment: events of one user without a gap.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.dataset.batch_plan import BatchPlan
from tfrec.dataset.batches import PREFETCH, served_as_it_is
from tfrec.dataset.memory_rows import MemoryRows
from tfrec.dataset.records import Arrays, Tensors

# Columns that these batches have beside those of the records. No feature can have such a name.
SEGMENT = "window:segment"  # int32, number of the segment in its row, from 1; 0 is padding, at the end of a row
STEP = "window:step"  # int32, place in the segment, from 0
NEXT = "next:"  # prefix of what the event after this one has


class Windows(NamedTuple):
    """How a model wants its windows.

    Attributes:
        length: events of a row.
        has_next: every step comes with the event after it; a user's last event is then no step of its own.

    """

    length: int
    has_next: bool


class WindowBatches:
    """Events in memory, served as rows of packed windows: `Batches` whose columns are [rows, length(, width)].

    Args:
        columns: name → array [events] or [events, width], in any order.
        sequences: which events belong together, such as the user; any integers. [events]
        positions: order of the events of a sequence. [events]
        windows: length, and whether the next event is served.
        batch_size: events per batch, about, all workers together; a batch has at least one row.
        seed: of the order.
        shard: (number, how many): a worker gets its share of each batch's rows.

    Raises:
        ConfigError: there are more workers than rows in a batch.

    """

    def __init__(
        self,
        columns: Arrays,
        sequences: np.ndarray,
        positions: np.ndarray,
        windows: Windows,
        batch_size: int,
        seed: int,
        *,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        order = np.lexsort((positions, sequences))
        self._memory = MemoryRows({name: values[order] for name, values in columns.items()})
        self._names = tuple(columns)
        _, counts = np.unique(sequences, return_counts=True)
        starts = np.cumsum(counts) - counts
        counts = counts - 1 if windows.has_next else counts
        self._starts, self._counts = starts[counts > 0], counts[counts > 0]
        self._windows, self._seed = windows, seed
        rows = -(-self.rows // windows.length)
        self._plan = BatchPlan.of(rows, max(1, round(batch_size / windows.length)), shard)

    @property
    def rows(self) -> int:
        """Steps of an epoch, all workers together."""
        return int(self._counts.sum())

    @property
    def batch_size(self) -> int:
        """Steps of a batch, all workers together; the last one of an epoch may have fewer."""
        return self._plan.batch_size * self._windows.length

    @property
    def steps_per_epoch(self) -> int:
        return self._plan.steps

    def epoch(self, number: int, *, skip: int = 0) -> tf.data.Dataset:
        """Batches of epoch `number` (from 0), without the first `skip`."""
        return self.forever(number * self.steps_per_epoch + skip).take(self.steps_per_epoch - skip)

    def forever(self, from_step: int = 0) -> tf.data.Dataset:
        """Epoch after epoch without end, beginning at a step counted from the start of the first."""
        first, skip = divmod(from_step, self.steps_per_epoch)
        packed = tf.data.Dataset.counter(first).map(self._packed_of, num_parallel_calls=1, deterministic=True)
        batches = packed.flat_map(self._cut).skip(skip)
        served = batches.map(self._take, num_parallel_calls=1, deterministic=True).prefetch(PREFETCH)
        return served.with_options(served_as_it_is())

    def explained_errors(self) -> AbstractContextManager[None]:
        """As `StreamBatches.explained_errors`; memory has no files that may be torn."""
        return nullcontext()

    def packed(self, number: int) -> np.ndarray:
        """Places of the events of an epoch in the sorted columns, −1 for padding; with segments and steps.

        int32 [3, rows, length]
        """
        random = np.random.default_rng([self._seed, number])
        order = random.permutation(len(self._counts))
        starts, counts = self._starts[order], self._counts[order]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        places = np.repeat(starts, counts) + within
        shift = int(random.integers(len(places)))
        shape = self._plan.rows, self._windows.length
        padding = np.full(shape[0] * shape[1] - len(places), -1)
        rows = [np.concatenate([np.roll(values, -shift), padding]).reshape(shape) for values in (places, within)]
        return np.stack([rows[0], *_segments(*rows)]).astype(np.int32)

    def _packed_of(self, number: tf.Tensor) -> tf.Tensor:
        packed = tf.numpy_function(self.packed, [number], tf.int32, stateful=False)
        return tf.ensure_shape(packed, [3, self._plan.rows, self._windows.length])

    def _cut(self, packed: tf.Tensor) -> tf.data.Dataset:
        """An epoch → its batches, this worker's share of them; [3, rows, length]."""
        plan = self._plan
        full = plan.full_steps * plan.batch_size
        by_step = tf.reshape(packed[:, :full], [3, plan.full_steps, plan.batch_size, self._windows.length])
        own = tf.transpose(by_step[:, :, plan.share(plan.batch_size)], [1, 0, 2, 3])
        batches = tf.data.Dataset.from_tensor_slices(own)
        if plan.rows_in_last:
            last = packed[:, full:][:, plan.share(plan.rows_in_last)]
            batches = batches.concatenate(tf.data.Dataset.from_tensors(last))
        return batches

    def _take(self, packed: tf.Tensor) -> Tensors:
        places, segments, steps = tf.unstack(packed)
        is_step = segments > 0
        flat = tf.reshape(tf.maximum(places, 0), [-1])
        found = {SEGMENT: segments, STEP: steps}
        for prefix in ("", NEXT) if self._windows.has_next else ("",):
            for name, values in self._memory.take(flat + 1 if prefix else flat).items():
                shaped = tf.reshape(values, [-1, self._windows.length, *values.shape[1:]])
                is_there = is_step if shaped.shape.rank == 2 else is_step[:, :, None]
                found[prefix + name] = tf.where(is_there, shaped, tf.zeros([], shaped.dtype))
        return found


def _segments(places: np.ndarray, within: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of each step's segment and its place there, from places and the numbers of steps in their sequences."""
    is_there, columns = places >= 0, np.arange(places.shape[1])
    starts = np.ones(places.shape, bool)
    starts[:, 1:] = (places[:, 1:] != places[:, :-1] + 1) | (within[:, 1:] != within[:, :-1] + 1)
    segments = np.where(is_there, np.cumsum(starts, axis=1), 0)
    first = np.maximum.accumulate(np.where(starts, columns, 0), axis=1)
    return segments, np.where(is_there, columns - first, 0)
