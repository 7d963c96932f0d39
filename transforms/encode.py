"""Third pipeline: ordered events → encoded records, shuffled, as TFRecord files; users and items beside them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tfrec.codec import frame_records
from tfrec.dataset import directory
from tfrec.dataset.directory import part_name
from tfrec.feature_transform import FeatureTransform
from tfrec.schema import SPLITS, USER_INDEX, Schema, SequenceFeature
from transforms import layout, storage
from transforms.count import read_counts
from transforms.gather import GatherJson
from transforms.read.typed import SOURCE
from transforms.steps.encode import HISTORY_TYPE, encode_events, encode_latest_users
from transforms.steps.mix import mix64
from transforms.steps.split import assign_split

SHARD_SEED, ORDER_SEED = 1, 2  # of the hashes that choose a row's file and its place there
_ORDER = "__order__"  # uint64: rows of a file are sorted by it


@dataclass(frozen=True)
class EncodePlan:
    """What the third pipeline is asked to do."""

    schema: Schema
    output: str
    partitions: tuple[int, ...]
    cuts: tuple[int, int] | None
    shards: dict[str, int]  # of each split, of users and of items
    users: int
    is_compressed: bool

    @cached_property
    def transform_files(self) -> list[str]:
        """Files of the transform, relative to its directory; workers on another machine copy them."""
        base = storage.join(self.output, directory.TRANSFORM)
        found = storage.list_files(storage.join(base, "**"))
        return [metadata.path[len(base) :].lstrip("/") for metadata in found]


class EncodePartition(beam.DoFn):
    """Partition number → ((part, shard), Arrow bytes of rows with their order)."""

    def __init__(self, plan: EncodePlan) -> None:
        self._plan = plan
        self._files = plan.transform_files

    def setup(self) -> None:
        output = self._plan.output
        local = storage.local_copy(storage.join(output, directory.TRANSFORM), self._files)
        self._transform = FeatureTransform(self._plan.schema, local)
        self._users = storage.read_table(layout.encoded_side(output, "users"))
        self._items = storage.read_table(layout.encoded_side(output, "items"))

    def process(self, partition: int) -> Iterator[tuple[tuple[str, int], bytes]]:
        events = storage.read_table(layout.events_partition(self._plan.output, partition))
        split = assign_split(events, self._plan.schema.split, self._plan.cuts)
        records = encode_events(events, self._plan.schema, self._transform, self._users, self._items)
        source = events.column(SOURCE).to_numpy()
        order = mix64(source, ORDER_SEED)
        shard_hash = mix64(source, SHARD_SEED)
        for index, name in enumerate(SPLITS):
            rows = np.flatnonzero(split == index)
            yield from _by_shard(name, records, rows, order[rows], shard_hash[rows] % self._plan.shards[name])
        latest = encode_latest_users(events, records, self._plan.schema)
        user_index = latest.column(USER_INDEX).to_numpy()
        shard = user_index * self._plan.shards["users"] // max(self._plan.users, 1)
        yield from _by_shard("users", latest, np.arange(latest.num_rows), user_index, shard)


def _by_shard(
    part: str, rows: pa.Table, chosen: np.ndarray, order: np.ndarray, shard: np.ndarray
) -> Iterator[tuple[tuple[str, int], bytes]]:
    for number in np.unique(shard).tolist():
        here = shard == number
        table = rows.take(pa.array(chosen[here])).append_column(_ORDER, pa.array(order[here].astype(np.uint64)))
        yield (part, int(number)), storage.table_bytes(table)


class WriteShard(beam.DoFn):
    """((part, shard), row groups) → one TFRecord file, whose rows stand in the order of their hashes."""

    def __init__(self, plan: EncodePlan) -> None:
        self._plan = plan

    def process(self, element: tuple[tuple[str, int], Iterable[bytes]]) -> Iterator[dict[str, Any]]:
        (part, shard), contents = element
        rows = pa.concat_tables(storage.table_of(content) for content in contents)
        rows = rows.sort_by(_ORDER)
        if part == "users":
            rows = with_raw_users(rows, self._plan)
        yield write_records(self._plan, part, shard, rows.drop_columns([_ORDER]))


def with_raw_users(rows: pa.Table, plan: EncodePlan) -> pa.Table:
    """Add the raw columns of the users table; rows are given with their index."""
    users = storage.read_table(layout.encoded_side(plan.output, "users"))
    raw = users.select([name for name in users.column_names if name.startswith(directory.RAW_PREFIX)])
    taken = raw.take(rows.column(USER_INDEX).combine_chunks())
    for name in taken.column_names:
        rows = rows.append_column(name, taken.column(name))
    return rows


def write_records(plan: EncodePlan, part: str, shard: int, rows: pa.Table) -> dict[str, Any]:
    """Write one file whole and return its entry for the manifest."""
    content = frame_records(rows)
    if plan.is_compressed:
        content = gzip.compress(content, compresslevel=1, mtime=0)  # no clock in the bytes
    name = part_name(shard, plan.shards[part], is_compressed=plan.is_compressed)
    storage.write_bytes(storage.join(plan.output, part, name), content)
    digest = hashlib.sha256(content).hexdigest()
    return {"part": part, "name": name, "records": rows.num_rows, "bytes": len(content), "sha256": digest}


def build_encode(pipeline: beam.Pipeline, plan: EncodePlan) -> None:
    """Add the whole of the third pipeline."""
    encoded = (
        pipeline
        | "partitions" >> beam.Create(plan.partitions)
        | "spread" >> beam.Reshuffle()
        | "encode" >> beam.ParDo(EncodePartition(plan))
    )
    others = (
        pipeline | "once" >> beam.Create([None]) | "without events" >> beam.FlatMap(lambda _: rows_without_events(plan))
    )
    files = (
        (encoded, others)
        | "rows" >> beam.Flatten()
        | "by shard" >> beam.GroupByKey()
        | "write" >> beam.ParDo(WriteShard(plan))
    )
    files | "files" >> GatherJson(layout.summary(plan.output, "files"), _sorted_files)


def rows_without_events(plan: EncodePlan) -> Iterator[tuple[tuple[str, int], bytes]]:
    """Users that stand only in the users table, with an empty history; and the items."""
    users = storage.read_table(layout.encoded_side(plan.output, "users"))
    # Users of the log come first in the order of their index, those of the table alone behind them.
    rest = np.arange(read_counts(plan.output, plan.schema.user_id).num_rows, users.num_rows)
    columns = {USER_INDEX: pa.array(rest)}
    chosen = users.take(pa.array(rest))
    for name, feature in plan.schema.of_role("user").items():
        if isinstance(feature, SequenceFeature):
            columns[name] = pa.array([[]] * len(rest), pa.list_(HISTORY_TYPE))
        elif name in users.column_names and name in plan.schema.encoded:
            columns[name] = chosen.column(name)
    if len(rest):
        shard = rest * plan.shards["users"] // max(plan.users, 1)
        yield from _by_shard("users", pa.table(columns), np.arange(len(rest)), rest, shard)
    items = storage.read_table(layout.encoded_side(plan.output, "items"))
    index = np.arange(items.num_rows)
    yield from _by_shard("items", items, index, index, index * plan.shards["items"] // max(items.num_rows, 1))


def _sorted_files(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(entries, key=lambda entry: (entry["part"], entry["name"]))
