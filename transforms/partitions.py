"""Groups of users whose ordered events stand in one file: how users are grouped, and how a group is saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tfrec.schema import EVENT_POSITION, EVENT_TIME_MS, NumericFeature, Schema
from transforms import layout, storage
from transforms.layout import Stage
from transforms.steps.mix import hash_tokens
from transforms.steps.order import USER_START, number_events
from transforms.steps.split import COARSE_BITS


@dataclass(frozen=True)
class Partitions:
    """Where the ordered events are.

    Attributes:
        schema: of the dataset.
        output: directory of the run.
        numbers: of the partitions that have events.
        stage: of the files.

    """

    schema: Schema
    output: str
    numbers: tuple[int, ...]
    stage: Stage

    def read(self, partition: int) -> pa.Table:
        return storage.read_table(layout.events_partition(self.output, self.stage, partition))


def partition_of(tokens: pa.Array, partitions: int) -> np.ndarray:
    """int64 [len(tokens)]: the group of each user, by a hash that is the same everywhere."""
    return (hash_tokens(tokens) % np.uint64(partitions)).astype(np.int64)


def save_partition(
    output: str, stage: Stage, partition: int, events: pa.Table, schema: Schema, known: np.ndarray | None = None
) -> dict[str, Any]:
    """Number the ordered events of a group, write them, and tell what later steps need to know of them.

    Args:
        output: directory of the run.
        stage: that the events have reached.
        partition: number of the group.
        events: ordered, at least one.
        schema: of the dataset.
        known: events that each row's user has in the base dataset. int64 [rows]

    Returns:
        `partition`, `rows`, `first_time_ms`, `last_time_ms`, and `coarse_times`: bucket of time → events.

    """
    events = number_events(events, schema.user_id, schema.sessions)
    if known is not None:
        position = events.column(EVENT_POSITION).to_numpy() + known
        events = _set(events, EVENT_POSITION, pa.array(position))
    for name, feature in schema.features.items():
        if isinstance(feature, NumericFeature) and feature.so_far == "user_events":
            events = _set(events, name, events.column(EVENT_POSITION).cast(pa.float32()))
    storage.write_table(layout.events_partition(output, stage, partition), events)
    times = events.column(EVENT_TIME_MS).to_numpy()
    buckets, counts = np.unique(times >> COARSE_BITS, return_counts=True)
    return {
        "partition": partition,
        "rows": events.num_rows,
        "first_time_ms": int(times.min()),
        "last_time_ms": int(times.max()),
        "coarse_times": [buckets.tolist(), counts.tolist()],
    }


def known_events(events: pa.Table) -> np.ndarray:
    """int64 [rows]: events that each row's user had before this run, as `save_partition` was told."""
    rows = np.arange(events.num_rows)
    return events.column(EVENT_POSITION).to_numpy() - (rows - events.column(USER_START).to_numpy())


def merge_partitions(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Which partitions there are, how many rows, from when to when, and the events of each bucket of time."""
    coarse: dict[int, int] = {}
    for part in parts:
        for bucket, count in zip(*part["coarse_times"], strict=True):
            coarse[bucket] = coarse.get(bucket, 0) + count
    return {
        "partitions": sorted(part["partition"] for part in parts),
        "rows": sum(part["rows"] for part in parts),
        "first_time_ms": min((part["first_time_ms"] for part in parts), default=0),
        "last_time_ms": max((part["last_time_ms"] for part in parts), default=0),
        "coarse_times": sorted(coarse.items()),
    }


def _set(events: pa.Table, name: str, column: pa.Array) -> pa.Table:
    if name in events.column_names:
        return events.set_column(events.column_names.index(name), name, column)
    return events.append_column(name, column)
