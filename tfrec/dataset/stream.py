"""Training batches from files, for splits that memory does not hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Literal

import numpy as np
import tensorflow as tf

from tfrec.dataset.batch_plan import BatchPlan
from tfrec.dataset.batches import PREFETCH, served_as_it_is
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.files import READ_BUFFER, READ_ERRORS, compression_of, count_rows, find_damage
from tfrec.dataset.memory_rows import MemoryRows
from tfrec.dataset.pieces import draw, own_pieces, shuffled, without_first
from tfrec.dataset.records import PARSE_BATCH, Tensors, example_parser
from tfrec.errors import DataError

WINDOW = 1 << 16  # rows


class StreamBatches:
    """A split read from its files as it is needed, in the shape of `Batches`.

    The order of an epoch follows from (seed, epoch), whatever the records are packed and compressed like: the files in
    a random order, their rows as they stand (the transforms wrote them shuffled), in windows that are permuted each by
    its own draw, cut into batches across the windows. A worker reads its own files, the same in every epoch, and of the
    files at the ends of its run only its rows. The datasets hold file names, no rows, so that they can be sent to the
    workers of a cluster.
    """

    def __init__(
        self,
        dataset: DatasetDirectory,
        part: str,
        batch_size: int,
        seed: int,
        *,
        columns: Collection[str] | None = None,
        files: Sequence[str] | None = None,
        window: int = WINDOW,
        shard: tuple[int, int] = (0, 1),
        cache: Literal["memory", "none"] = "none",
    ) -> None:
        """Plan; nothing is read yet, but given files are counted.

        Args:
            dataset: what the records are.
            part: "train", "validation" or "test".
            batch_size: rows per batch, all workers together; the last batch of an epoch may be smaller.
            seed: of the order.
            columns: the ones to serve; None for all. The others are not parsed.
            files: record files of the same dataset to read instead of those of the part.
            window: rows that are permuted together. More mix better, and take more memory and cache misses.
            shard: (number, how many) of this worker. Workers have different rows, together all, in equally many steps.
            cache: "memory" parses the rows of this worker once, before the first batch, and keeps them in this process;
                the order is the same.

        Raises:
            ArtifactError: a file that the manifest names is absent or incomplete.
            ConfigError: there are more workers than rows in a batch.
            DataError: a given file is torn.
            SchemaError: there is no such column.

        """
        self._rows_per_record = dataset.rows_per_record(part)
        self._records_at_once = max(1, PARSE_BATCH // self._rows_per_record)
        self._parse = example_parser(dataset.schema, part, self._rows_per_record, columns)
        if files is None:
            self._files, counts = dataset.files(part), dataset.rows_by_file(part)
        else:
            self._files = list(files)
            counts = [count_rows(path, self._parse, self._records_at_once) for path in files]
        self._counts = counts
        self._compression = compression_of(self._files)
        self._plan = BatchPlan.of(sum(counts), batch_size, shard)
        self._pieces = own_pieces(counts, self._plan.own)
        self._seed, self._window, self._is_cached = seed, window, cache == "memory"

    @property
    def rows(self) -> int:
        """Of an epoch, all workers together."""
        return self._plan.rows

    @property
    def batch_size(self) -> int:
        """Of all workers together."""
        return self._plan.batch_size

    @property
    def first_row(self) -> int:
        """Number, in the split, of the first row that this worker reads."""
        return self._plan.own.start

    @property
    def steps_per_epoch(self) -> int:
        return self._plan.steps

    def epoch(self, number: int, *, skip: int = 0) -> tf.data.Dataset:
        """Batches of epoch `number` (from 0), without the first `skip`: less than a window of these is parsed."""
        with tf.device("CPU"):
            return self._finish(self._epoch(tf.constant(number, tf.int64), tf.constant(skip, tf.int64)))

    def in_order(self) -> tf.data.Dataset:
        """All rows of this worker once, as they stand."""
        return self._finish(self._batches(self._chunks(tf.constant(self._pieces)), tf.constant(0, tf.int64)))

    def forever(self, from_step: int = 0) -> tf.data.Dataset:
        """Epoch after epoch without end, beginning at a step counted from the start of the first.

        Raises:
            DataError: there are no rows.

        """
        if not self.rows:
            raise DataError("the split is empty: there is nothing to repeat; lower the shares of the other splits")
        first, skip = divmod(from_step, self.steps_per_epoch)
        epochs = tf.data.Dataset.counter(first)
        return self._finish(epochs.flat_map(lambda number: self._epoch(number, tf.where(number == first, skip, 0))))

    @contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Within: what TensorFlow raises over a damaged file becomes a DataError that names it. Others pass."""
        try:
            yield
        except READ_ERRORS:
            damage = find_damage(list(zip(self._files, self._counts, strict=True)), self._parse, self._records_at_once)
            if damage is None:
                raise
            raise damage from None

    def _epoch(self, number: tf.Tensor, skip: tf.Tensor) -> tf.data.Dataset:
        skipped_rows = tf.cast(skip, tf.int64) * self._plan.share_of_full
        first_window = skipped_rows // self._window
        pieces = shuffled(self._pieces, self._seed, number, self._window)
        windows = self._chunks(without_first(pieces, first_window * self._window)).rebatch(self._window)

        def permute(window: tf.Tensor, columns: Tensors) -> Tensors:
            rows = tf.shape(next(iter(columns.values())))[0]
            order = tf.random.experimental.stateless_shuffle(tf.range(rows), draw(self._seed, number, window))
            order = order[tf.where(window == first_window, skipped_rows - window * self._window, 0) :]
            return {name: tf.gather(values, order) for name, values in columns.items()}

        permuted = windows.enumerate(first_window).map(permute).prefetch(1)
        return self._batches(permuted, skip)

    def _batches(self, chunks: tf.data.Dataset, skipped: tf.Tensor) -> tf.data.Dataset:
        """Cut into the batches of the plan, of which `skipped` are gone already; their number is checked."""
        plan = self._plan
        batches = chunks.rebatch(plan.share_of_full)
        last = plan.share(plan.rows_in_last)
        if plan.rows_in_last and last.start == last.stop:
            batches = batches.concatenate(tf.data.Dataset.from_tensors(self._no_rows()))
        steps = tf.maximum(plan.steps - tf.cast(skipped, tf.int64), 0)
        return batches.apply(tf.data.experimental.assert_cardinality(steps))

    def _finish(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        if self._is_cached:
            memory = self._memory  # read now: within a map it would be read in a graph
            batches = batches.map(lambda found: memory.take(found["row"]))
        return batches.prefetch(PREFETCH).with_options(served_as_it_is())

    def _no_rows(self) -> Tensors:
        return {"row": tf.zeros([0], tf.int64)} if self._is_cached else self._parse(tf.constant([], tf.string))

    def _chunks(self, pieces: tf.Tensor) -> tf.data.Dataset:
        """Rows of the pieces, some at a time; with a cache, where they stand in memory."""
        listed = tf.data.Dataset.from_tensor_slices(pieces)
        if self._is_cached:
            return listed.map(lambda piece: {"row": tf.range(piece[3], piece[3] + piece[2])})
        return listed.flat_map(self._read)

    def _read(self, piece: tf.Tensor) -> tf.data.Dataset:
        """Parse the rows of one piece; records before and behind it are not parsed."""
        file, first, rows = piece[0], piece[1], piece[2]
        size, at_once = self._rows_per_record, self._records_at_once
        first_record, end_record = first // size, -(-(first + rows) // size)
        records = tf.data.TFRecordDataset(tf.constant(self._files, tf.string)[file], self._compression, READ_BUFFER)
        records = records.skip(first_record).take(end_record - first_record)

        def parse(index: tf.Tensor, serialized: tf.Tensor) -> Tensors:
            columns = self._parse(serialized)
            if size == 1:
                return columns
            start = (first_record + index * at_once) * size  # every record but the last of a file is full
            begin = tf.maximum(first - start, 0)
            end = first + rows - start
            return {name: values[begin:end] for name, values in columns.items()}

        return records.batch(at_once).enumerate().map(parse)

    @cached_property
    def _memory(self) -> MemoryRows:
        with self.explained_errors():
            chunks = tf.data.Dataset.from_tensor_slices(self._pieces).flat_map(self._read)
            empty = {name: values.numpy() for name, values in self._parse(tf.constant([], tf.string)).items()}
            parts = [empty, *chunks.as_numpy_iterator()]
        return MemoryRows({name: np.concatenate([part[name] for part in parts]) for name in empty})
