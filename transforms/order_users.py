"""All events of a group of users → one file, ordered in time, without unwanted events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from transforms.accounting import summary_of
from transforms.base.users import base_event_counts
from transforms.exchange import Sent, tables_of
from transforms.parse import REJECTED, SUMMARY, Prepared
from transforms.partitions import save_partition
from transforms.read.rejected import rejected_of
from transforms.read.typed import SOURCE
from transforms.steps.order import order_events
from transforms.steps.unwanted import duplicate_columns, duplicates, of_bots

DUPLICATE, BOT = "duplicate event", "user with more events than filters.max_user_events or max_user_events_per_day"


class OrderPartition(beam.DoFn):
    """(partition, portions) → an ordered Arrow file without unwanted events; what later steps need to know of it."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    def process(self, element: tuple[int, Iterable[Sent]]) -> Iterator[Any]:
        partition, sent = element
        schema, filters = self._prepared.config.schema_of(), self._prepared.config.filters
        events = order_events(tables_of(sent), schema.user_id)
        by = duplicate_columns(events, schema, filters)
        if by:
            repeated = duplicates(events, schema.user_id, by, filters.duplicates_keep)
            if repeated.any():
                yield from self._reject(events.filter(pa.array(repeated)), DUPLICATE)
                events = events.filter(pa.array(~repeated))
        if filters.max_user_events or filters.max_user_events_per_day:
            bots = of_bots(events, schema.user_id, filters.max_user_events, filters.max_user_events_per_day)
            if bots.any():
                yield beam.pvalue.TaggedOutput(SUMMARY, summary_of("events", -int(bots.sum()), [], {BOT: bots.sum()}))
                events = events.filter(pa.array(~bots))
        if events.num_rows:
            known = self._known_events(partition, events) if self._prepared.has_base else None
            yield save_partition(self._prepared.output, "ordered", partition, events, schema, known)

    def _reject(self, rows: pa.Table, reason: str) -> Iterator[Any]:
        schema, table = self._prepared.config.schema_of(), self._prepared.tables["events"]
        ids = [rows.column(name).to_pylist() for name in (schema.user_id, schema.item_id)]
        texts = [" | ".join(pair) for pair in zip(*ids, strict=True)]
        rejected = rejected_of("events", table.paths, rows.column(SOURCE).to_pylist(), reason, texts)
        yield beam.pvalue.TaggedOutput(REJECTED, rejected)
        yield beam.pvalue.TaggedOutput(SUMMARY, summary_of("events", -len(rejected), [], {reason: len(rejected)}))

    def _known_events(self, partition: int, events: pa.Table) -> np.ndarray:
        return base_event_counts(
            self._prepared.output, partition, events.column(self._prepared.config.schema_of().user_id)
        )
