"""Where training rows come from: memory, or the records of the dataset."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import tensorflow as tf

from tfrec.dataset.batches import Batches
from tfrec.dataset.records import PARSE_BATCH
from tfrec.dataset.stream import StreamBatches
from trainer.checks.memory import will_stream
from trainer.checks.values import CHECKED_ROWS, require_values
from trainer.cluster.placement import Placement
from trainer.config import JobConfig
from trainer.data import JobData
from trainer.training.whole_rows import require_whole_rows, training_rows, whole_groups, whole_rows, whole_windows

Stream = TypeVar("Stream", bound=StreamBatches)


class BatchSource(Protocol):
    """Batches whose order follows from the seed and the epoch alone."""

    @property
    def rows(self) -> int:
        """Of an epoch."""

    @property
    def batch_size(self) -> int:
        """Rows of a batch, of all workers together; the last one of an epoch may have fewer."""

    @property
    def steps_per_epoch(self) -> int: ...

    def epoch(self, number: int, *, skip: int = 0) -> tf.data.Dataset:
        """Batches of epoch `number`, from 0, without the first `skip`."""

    def forever(self, from_step: int) -> tf.data.Dataset:
        """Batches of all epochs, one after the other, without the first `from_step`."""

    def explained_errors(self) -> AbstractContextManager[None]:
        """A block in which a torn file raises a DataError."""


def open_source(data: JobData, columns: Collection[str], config: JobConfig, placement: Placement) -> BatchSource:
    """Training rows of a job: this process's share of them.

    Args:
        data: of the job.
        columns: that the model learns from.
        config: of the job.
        placement: of this process.

    Raises:
        DataError: a label or an id is outside its range, in memory or in the first rows of the stream.
        ConfigError: the model learns from whole users, items or groups, which cannot come as the config wants.

    """
    size, seed, wanted = config.train.batch_size, config.seed, sorted(columns)
    rows = training_rows(config)
    if rows != "events":
        require_whole_rows(config, placement)
        if rows == "groups":
            return whole_groups(data, wanted, config, placement.shard)
        if rows == "windows":
            return whole_windows(data, wanted, config, placement.shard)
        return whole_rows(data.model_inputs.train, rows, size, seed, placement.shard)
    if placement.name == "parameter-server":
        return _checked(WorkerBatches(data, size, seed, wanted), data)
    # Memory differs between machines, and so does the order between memory and stream: the chief decides.
    if placement.chief_value(float(will_stream(config, data.dataset))):
        return _checked(StreamBatches(data.dataset, "train", size, seed, columns=wanted, shard=placement.shard), data)
    return Batches(data.columns("train", wanted), size, seed, shard=placement.shard)


class WorkerBatches(StreamBatches):
    """What the workers of a parameter-server job read: each its part of the files, in batches of its own."""

    def __init__(self, data: JobData, batch_size: int, seed: int, columns: Collection[str]) -> None:
        super().__init__(data.dataset, "train", batch_size, seed, columns=columns)
        self._of_worker = (data, batch_size, seed, columns)

    def of_worker(self, index: int, count: int, from_step: int) -> tf.data.Dataset:
        """Endless batches of one of `count` workers, when `from_step` steps were taken by all of them together."""
        data, size, seed, columns = self._of_worker
        own = StreamBatches(data.dataset, "train", size * count, seed, columns=columns, shard=(index, count))
        return own.forever(from_step // count)


def _checked(source: Stream, data: JobData) -> Stream:
    """The source, whose first rows have labels and ids in their range; it is never seen whole, as memory is."""
    first_row = source.first_row
    with source.explained_errors():
        chunks = source.in_order().rebatch(PARSE_BATCH).take(-(-CHECKED_ROWS // PARSE_BATCH))
        for chunk in chunks.as_numpy_iterator():
            require_values(data.dataset, "train", chunk, first_row)
            first_row += len(next(iter(chunk.values())))
    return source
