"""Where training rows come from: memory, or the records of the dataset."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol

import tensorflow as tf

from tfrec.dataset.batches import Batches
from tfrec.dataset.records import list_width
from tfrec.dataset.stream import StreamBatches
from tfrec.schema import Schema
from trainer.cluster.placement import Placement
from trainer.config import JobConfig
from trainer.data import JobData

SHARE_OF_MEMORY = 0.4  # up to which training rows are held in memory


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

    """
    size, seed, wanted = config.train.batch_size, config.seed, sorted(columns)
    if placement.name == "parameter-server":
        return WorkerBatches(data, size, seed, wanted)
    is_streamed = config.train.input == "stream"
    if config.train.input == "auto":
        needed = bytes_in_memory(data.schema, wanted, data.dataset.rows("train"))
        is_streamed = needed > SHARE_OF_MEMORY * memory_bytes()
    if is_streamed:
        return StreamBatches(data.dataset, "train", size, seed, columns=wanted, shard=placement.shard)
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


def bytes_in_memory(schema: Schema, columns: Collection[str], rows: int) -> int:
    """What columns of `rows` rows take, about: four bytes a value."""
    values = 0
    for name in columns:
        feature = schema.encoded.get(name)
        values += (None if feature is None else list_width(feature)) or 1
    return 4 * values * rows


def memory_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
