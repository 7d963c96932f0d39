"""How many events each item had before each event: grouped by item, counted in time, and brought back to the users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tfrec.schema import EVENT_TIME_MS, NumericFeature, Schema
from transforms import layout, storage
from transforms.exchange import Sender, Sent, by_key, tables_of
from transforms.partitions import Partitions, partition_of
from transforms.read.typed import SOURCE
from transforms.steps.tokens import for_tokens, tokens_of

_HOME, _COUNT = "__home__", "__count__"  # partition that an event came from; earlier events of its item


def item_counts(schema: Schema) -> list[str]:
    """Names of the features that count an item's earlier events."""
    return [n for n, f in schema.features.items() if isinstance(f, NumericFeature) and f.so_far == "item_events"]


def earlier_events(items: np.ndarray, times: np.ndarray) -> np.ndarray:
    """int64 [rows]: for each event those of the same item with an earlier time.

    Args:
        items: a code per item. int [rows]
        times: in any unit. int64 [rows]

    """
    order = np.lexsort((times, items))
    item, time = items[order], times[order]
    rows = np.arange(len(order))
    is_new_item = np.concatenate([np.ones(min(len(rows), 1), bool), item[1:] != item[:-1]])
    is_new_time = is_new_item | np.concatenate([np.ones(min(len(rows), 1), bool), time[1:] != time[:-1]])
    first_of_item = np.maximum.accumulate(np.where(is_new_item, rows, 0))
    first_of_time = np.maximum.accumulate(np.where(is_new_time, rows, 0))
    result = np.empty(len(rows), dtype=np.int64)
    result[order] = first_of_time - first_of_item
    return result


class SplitByItem(beam.DoFn):
    """Partition number → (group of items, what counting needs of their events)."""

    def __init__(self, partitions: Partitions, groups: int, send: Sender) -> None:
        self._partitions = partitions
        self._groups = groups
        self._send = send

    def process(self, partition: int) -> Iterator[Any]:
        events = self._partitions.read(partition)
        item_id = self._partitions.schema.item_id
        wanted = events.select([item_id, EVENT_TIME_MS, SOURCE])
        wanted = wanted.append_column(_HOME, pa.array(np.full(events.num_rows, partition, np.int32)))
        group = for_tokens(events.column(item_id), lambda items: partition_of(items, self._groups))
        yield from self._send(by_key(wanted, group))


class CountEarlier(beam.DoFn):
    """(group of items, portions) → (partition of users, counts by place in the log)."""

    def __init__(self, item_id: str, known: dict[str, int], send: Sender) -> None:
        self._item_id = item_id
        self._known = known
        self._send = send

    def process(self, element: tuple[int, Iterable[Sent]]) -> Iterator[Any]:
        events = pa.concat_tables(tables_of(element[1])).combine_chunks()
        items = tokens_of(events.column(self._item_id))
        codes = items.indices.to_numpy()
        count = earlier_events(codes, events.column(EVENT_TIME_MS).to_numpy())
        if self._known:
            count += np.array([self._known.get(item, 0) for item in items.dictionary.to_pylist()], np.int64)[codes]
        counted = pa.table({SOURCE: events.column(SOURCE), _COUNT: count})
        yield from self._send(by_key(counted, events.column(_HOME).to_numpy()))


class AddCounts(beam.DoFn):
    """(partition, portions) → its events with the counts, as stage `counted`."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    def process(self, element: tuple[int, Iterable[Sent]]) -> Iterator[int]:
        partition, portions = element
        counts = pa.concat_tables(tables_of(portions))
        events = self._partitions.read(partition)
        at = np.argsort(counts.column(SOURCE).to_numpy())
        place = np.argsort(np.argsort(events.column(SOURCE).to_numpy()))
        count = counts.column(_COUNT).to_numpy()[at][place].astype(np.float32)
        for name in item_counts(self._partitions.schema):
            events = events.append_column(name, pa.array(count))
        storage.write_table(layout.events_partition(self._partitions.output, "counted", partition), events)
        yield partition


def build_so_far(pipeline: beam.Pipeline, partitions: Partitions, known: dict[str, int], *, is_local: bool) -> None:
    """Write the events with their items' counts as stage `counted`.

    Args:
        pipeline: to add to.
        partitions: the events.
        known: item → its events in the base dataset.
        is_local: whether tables are exchanged through files.

    """
    output = partitions.output

    def sender(name: str) -> Sender:
        return Sender(layout.exchange(output, name) if is_local else None)

    (
        pipeline
        | "partitions" >> beam.Create(partitions.numbers)
        | "spread" >> beam.Reshuffle()
        | "by item" >> beam.ParDo(SplitByItem(partitions, len(partitions.numbers), sender("items")))
        | "items" >> beam.GroupByKey()
        | "count" >> beam.ParDo(CountEarlier(partitions.schema.item_id, known, sender("counts")))
        | "users" >> beam.GroupByKey()
        | "add" >> beam.ParDo(AddCounts(partitions))
    )
