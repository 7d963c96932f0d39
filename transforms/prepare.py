"""First pipeline: files → valid, typed events, grouped by user and ordered in time; users and items without repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import crc32c
import numpy as np
import pyarrow as pa

from tfrec.schema import EVENT_TIME_MS
from transforms import layout, storage
from transforms.dataset_config import DatasetConfig, TableName
from transforms.gather import GatherJson
from transforms.read.blocks import Block, ReadBlocks
from transforms.read.csv_rows import CsvParser
from transforms.read.files import InputTable
from transforms.read.rejected import RejectedRow
from transforms.read.typed import FILE_INDEX_SHIFT, SOURCE, TypedRows
from transforms.steps.order import order_events

PARTITION_BYTES = 64 << 20  # of the log, per group of users that is sorted in memory
MAX_LISTED = 100_000  # rejected rows written out per table; all are counted
REJECTED, SUMMARY = "rejected", "summary"


@dataclass(frozen=True)
class Prepared:
    """What the first pipeline is asked to do."""

    config: DatasetConfig
    tables: dict[TableName, InputTable]
    output: str

    @property
    def partitions(self) -> int:
        """By size of the input alone, so that results do not depend on the runner."""
        return max(1, -(-self.tables["events"].size_bytes // PARTITION_BYTES))


class ParseBlock(beam.DoFn):
    """Block → typed Arrow table as bytes; rejected rows and counts beside it."""

    def __init__(self, prepared: Prepared, name: TableName) -> None:
        self._prepared = prepared
        self._name = name

    def setup(self) -> None:
        table = self._prepared.tables[self._name]
        self._rows = TypedRows(self._prepared.config, self._prepared.tables, self._name)
        self._parser = CsvParser(self._name, table.config, table.columns, self._rows.wanted_columns)

    def process(self, block: Block) -> Iterator[Any]:
        parsed, malformed = self._parser.parse(block)
        typed, invalid = self._rows.convert(block, parsed)
        rejected = malformed + invalid
        if rejected:
            yield beam.pvalue.TaggedOutput(REJECTED, rejected)
        yield beam.pvalue.TaggedOutput(SUMMARY, _summary(self._name, typed.num_rows, rejected))
        if typed.num_rows:
            yield typed


def _summary(name: str, accepted: int, rejected: list[RejectedRow]) -> dict[str, Any]:
    reasons = Counter(_kind_of(row.reason) for row in rejected)
    return {"table": name, "rows": accepted + len(rejected), "accepted": accepted, "reasons": dict(reasons)}


def _kind_of(reason: str) -> str:
    """The reason without the row's own value, for counting."""
    return reason.split(": ")[0]


class SplitByUser(beam.DoFn):
    """Typed events → (partition, Arrow bytes)."""

    def __init__(self, user_id: str, partitions: int) -> None:
        self._user_id = user_id
        self._partitions = partitions

    def process(self, events: pa.Table) -> Iterator[tuple[int, bytes]]:
        users = events.column(self._user_id).combine_chunks().dictionary_encode()
        hashes = [crc32c.crc32c(user.encode()) % self._partitions for user in users.dictionary.to_pylist()]
        partition = np.array(hashes, dtype=np.int64)[users.indices.to_numpy()]
        for found in np.unique(partition).tolist():
            yield found, storage.table_bytes(events.filter(pa.array(partition == found)))


class OrderPartition(beam.DoFn):
    """(partition, blocks) → an ordered Arrow file; yields its distinct times with their counts."""

    def __init__(self, user_id: str, output: str) -> None:
        self._user_id = user_id
        self._output = output

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[dict[str, Any]]:
        partition, contents = element
        events = order_events(pa.concat_tables(storage.table_of(c) for c in contents), self._user_id)
        storage.write_table(layout.events_partition(self._output, partition), events)
        times, counts = np.unique(events.column(EVENT_TIME_MS).to_numpy(), return_counts=True)
        yield {"partition": partition, "times": times.tolist(), "counts": counts.tolist()}


class DropRepeated(beam.DoFn):
    """All rows of a users or items table → one Arrow file; the first row of an id is kept, the rest rejected."""

    def __init__(self, name: TableName, key: str, paths: tuple[str, ...], output: str) -> None:
        self._name = name
        self._key = key
        self._paths = paths
        self._output = output

    def process(self, element: tuple[None, Iterable[bytes]]) -> Iterator[Any]:
        tables = [storage.table_of(content) for content in element[1]]
        rows = pa.concat_tables(tables).sort_by(SOURCE).combine_chunks()
        keys = rows.column(self._key).combine_chunks().dictionary_encode().indices.to_numpy()
        _, first = np.unique(keys, return_index=True)
        is_first = np.zeros(rows.num_rows, dtype=bool)
        is_first[first] = True
        storage.write_table(layout.side_table(self._output, self._name), rows.filter(pa.array(is_first)))
        repeated = rows.filter(pa.array(~is_first))
        rejected = [
            RejectedRow(
                self._name,
                self._paths[source >> FILE_INDEX_SHIFT],
                source & ((1 << FILE_INDEX_SHIFT) - 1),
                "repeated id",
                key,
            )
            for key, source in zip(
                repeated.column(self._key).to_pylist(), repeated.column(SOURCE).to_pylist(), strict=True
            )
        ]
        if rejected:
            yield beam.pvalue.TaggedOutput(REJECTED, rejected)
            reasons = {"repeated id": len(rejected)}
            yield beam.pvalue.TaggedOutput(
                SUMMARY, {"table": self._name, "rows": 0, "accepted": -len(rejected), "reasons": reasons}
            )


def build_prepare(pipeline: beam.Pipeline, prepared: Prepared) -> None:
    """Add the whole of the first pipeline."""
    schema = prepared.config.schema_of()
    rejected, summaries = [], []
    for name, table in prepared.tables.items():
        parsed = (
            pipeline
            | f"{name}: files" >> beam.Create(list(enumerate(table.paths)))
            | f"{name}: spread files" >> beam.Reshuffle()
            | f"{name}: read" >> beam.ParDo(ReadBlocks(header=table.config.header))
            | f"{name}: spread blocks" >> beam.Reshuffle()
            | f"{name}: parse" >> beam.ParDo(ParseBlock(prepared, name)).with_outputs(REJECTED, SUMMARY, main="rows")
        )
        rejected.append(parsed[REJECTED])
        summaries.append(parsed[SUMMARY])
        if name == "events":
            times = (
                parsed.rows
                | "by user" >> beam.ParDo(SplitByUser(schema.user_id, prepared.partitions))
                | "group users" >> beam.GroupByKey()
                | "order" >> beam.ParDo(OrderPartition(schema.user_id, prepared.output))
            )
            times | "times" >> GatherJson(layout.summary(prepared.output, "times"), merge_times)
        else:
            key = schema.user_id if name == "users" else schema.item_id
            unique = (
                parsed.rows
                | f"{name}: one key" >> beam.Map(lambda rows: (None, storage.table_bytes(rows)))
                | f"{name}: gather" >> beam.GroupByKey()
                | f"{name}: unique"
                >> beam.ParDo(DropRepeated(name, key, table.paths, prepared.output)).with_outputs(
                    REJECTED, SUMMARY, main="none"
                )
            )
            rejected.append(unique[REJECTED])
            summaries.append(unique[SUMMARY])
    (
        summaries
        | "all counts" >> beam.Flatten()
        | "rows" >> GatherJson(layout.summary(prepared.output, "rows"), merge_summaries)
    )
    (
        rejected
        | "all rejected" >> beam.Flatten()
        | "by table" >> beam.FlatMap(lambda rows: [(rows[0].table, rows)])
        | beam.GroupByKey()
        | "write rejected" >> beam.Map(_write_rejected, prepared.output)
    )


def _write_rejected(element: tuple[str, Iterable[list[RejectedRow]]], output: str) -> None:
    table, groups = element
    rows = sorted((row for group in groups for row in group), key=lambda row: (row.file, row.line))
    lines = "".join(row.to_json() + "\n" for row in rows[:MAX_LISTED])
    storage.write_bytes(storage.join(output, "rejected", f"{table}.jsonl"), lines.encode())


def merge_times(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Distinct event times of all partitions, ascending, with their counts, and which partitions there are."""
    if not parts:
        return {"partitions": [], "times": [], "counts": []}
    table = pa.table(
        {
            "time": np.concatenate([np.asarray(part["times"], np.int64) for part in parts]),
            "count": np.concatenate([np.asarray(part["counts"], np.int64) for part in parts]),
        }
    )
    merged = table.group_by("time").aggregate([("count", "sum")]).sort_by("time")
    return {
        "partitions": sorted(part["partition"] for part in parts),
        "times": merged.column("time").to_pylist(),
        "counts": merged.column("count_sum").to_pylist(),
    }


def merge_summaries(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Per table: rows in, accepted, rejected, and rejected by reason."""
    merged: dict[str, Any] = {}
    for part in parts:
        table = merged.setdefault(part["table"], {"rows": 0, "accepted": 0, "rejected": 0, "reasons": {}})
        table["rows"] += part["rows"]
        table["accepted"] += part["accepted"]
        for reason, count in part["reasons"].items():
            table["rejected"] += count
            table["reasons"][reason] = table["reasons"].get(reason, 0) + count
    for table in merged.values():
        table["reasons"] = dict(sorted(table["reasons"].items()))
        if table["rows"] != table["accepted"] + table["rejected"]:
            raise AssertionError(
                f"rows in {table['rows']} ≠ accepted {table['accepted']} + rejected {table['rejected']}"
            )
    return dict(sorted(merged.items()))
