"""k-core: users and items with too few events are left out, again and again until all that is left has enough.

The largest such set is unique, so the order of leaving out does not matter. The driver holds the items that are out;
which users are out follows from them in each partition. One round is one pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import layout, storage
from transforms.count import MergeTables
from transforms.filters import Filters
from transforms.gather import GatherJson, read_json
from transforms.partitions import Partitions, known_events, merge_partitions, save_partition
from transforms.steps.counts import COUNT, VALUE, count_values, merge_counts
from transforms.steps.tokens import codes_of, for_tokens

NewPipeline = Callable[[], AbstractContextManager[beam.Pipeline]]


def leave_core(new_pipeline: NewPipeline, partitions: Partitions, filters: Filters) -> dict[str, Any]:
    """Write the events of the k-core as stage `core`; returns `merge_partitions` of them."""
    output, key = partitions.output, partitions.schema.item_id
    dropped = pa.array([], pa.string())
    while True:
        storage.write_table(layout.core_items(output, "dropped"), pa.table({key: dropped}))
        storage.remove(layout.core_items(output, "counts"))
        with new_pipeline() as pipeline:
            _build_round(pipeline, partitions, filters)
        counts = storage.read_table(layout.core_items(output, "counts"))
        rare = counts.filter(pc.less(counts.column(COUNT), filters.min_item_events)).column(VALUE).combine_chunks()
        if len(rare) == 0:
            break
        dropped = pa.concat_arrays([dropped, rare])
    with new_pipeline() as pipeline:
        (
            pipeline
            | "partitions" >> beam.Create(partitions.numbers)
            | "spread" >> beam.Reshuffle()
            | "leave" >> beam.ParDo(SaveCore(partitions, filters))
            | "save" >> GatherJson(layout.summary(output, "core"), merge_partitions)
        )
    found: dict[str, Any] = read_json(layout.summary(output, "core"))
    return found


def in_core(users: pa.ChunkedArray, items: pa.ChunkedArray, dropped: pa.Array, min_user_events: int) -> np.ndarray:
    """Bool [rows]: events of items that are not out, of users who have enough of those."""
    is_left = for_tokens(items, lambda tokens: ~pc.is_in(tokens, value_set=dropped).to_numpy(zero_copy_only=False))
    codes = codes_of(users)
    return is_left & (np.bincount(codes[is_left], minlength=int(codes.max(initial=-1)) + 1) >= min_user_events)[codes]


class CountCore(beam.DoFn):
    """Partition number → Arrow bytes of item counts in what is left."""

    def __init__(self, partitions: Partitions, filters: Filters) -> None:
        self._partitions = partitions
        self._filters = filters

    def process(self, partition: int) -> Iterator[bytes]:
        events = self._partitions.read(partition)
        left = events.filter(pa.array(core_mask(events, self._partitions, self._filters)))
        ones = np.ones(left.num_rows, np.int64)
        yield storage.table_bytes(count_values(left.column(self._partitions.schema.item_id), ones, ones))


class SaveCore(beam.DoFn):
    """Partition number → its events that are left, numbered anew."""

    def __init__(self, partitions: Partitions, filters: Filters) -> None:
        self._partitions = partitions
        self._filters = filters

    def process(self, partition: int) -> Iterator[dict[str, Any]]:
        events = self._partitions.read(partition)
        is_left = core_mask(events, self._partitions, self._filters)
        if is_left.any():
            schema, output = self._partitions.schema, self._partitions.output
            left = events.filter(pa.array(is_left))
            yield save_partition(output, "core", partition, left, schema, known_events(events)[is_left])


def core_mask(events: pa.Table, partitions: Partitions, filters: Filters) -> np.ndarray:
    schema = partitions.schema
    dropped = storage.read_table(layout.core_items(partitions.output, "dropped")).column(schema.item_id)
    users, items = events.column(schema.user_id), events.column(schema.item_id)
    return in_core(users, items, dropped.combine_chunks(), filters.min_user_events)


def _build_round(pipeline: beam.Pipeline, partitions: Partitions, filters: Filters) -> None:
    path = layout.core_items(partitions.output, "counts")
    (
        pipeline
        | "partitions" >> beam.Create(partitions.numbers)
        | "spread" >> beam.Reshuffle()
        | "count" >> beam.ParDo(CountCore(partitions, filters))
        | "merge" >> beam.CombineGlobally(MergeTables(merge_counts)).without_defaults()
        | "save" >> beam.Map(lambda content: storage.write_bytes(path, content))
    )
