"""First pipeline: files → valid, typed events, grouped by user and ordered in time; users and items without repeats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam

from transforms import layout, storage
from transforms.accounting import merge_summaries
from transforms.dataset_config import TableName
from transforms.gather import GatherJson
from transforms.order_users import OrderPartition
from transforms.parse import REJECTED, SUMMARY, ParseBlock, Prepared, ReadAndParse
from transforms.partitions import merge_partitions
from transforms.read.formats import reader_of
from transforms.read.rejected import RejectedRow
from transforms.read.sources import InputSource
from transforms.side_tables import DropRepeated

MAX_LISTED = 100_000  # rejected rows written out per table; all are counted


def build_prepare(pipeline: beam.Pipeline, prepared: Prepared) -> None:
    """Add the whole of the first pipeline."""
    schema = prepared.config.schema_of()
    rejected, summaries = [], []
    for name, table in prepared.tables.items():
        branches = [_parsed(pipeline, prepared, name, source) for source in table.sources]
        rows = tuple(branch.rows for branch in branches) | f"{name}: all rows" >> beam.Flatten()
        grouped = rows | f"{name}: group" >> beam.GroupByKey()
        if name == "events":
            order = beam.ParDo(OrderPartition(prepared)).with_outputs(REJECTED, SUMMARY, main="rows")
            done = grouped | "order" >> order
            done.rows | "ordered" >> GatherJson(layout.summary(prepared.output, "ordered"), merge_partitions)
        else:
            key = schema.user_id if name == "users" else schema.item_id
            drop = beam.ParDo(DropRepeated(name, key, table.paths, prepared.output))
            done = grouped | f"{name}: unique" >> drop.with_outputs(REJECTED, SUMMARY, main="none")
        rejected += [*(branch[REJECTED] for branch in branches), done[REJECTED]]
        summaries += [*(branch[SUMMARY] for branch in branches), done[SUMMARY]]
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


def _parsed(pipeline: beam.Pipeline, prepared: Prepared, name: TableName, source: InputSource) -> Any:
    """Read and parse the files of one source: rows by key, rejected rows, counts."""
    step = f"{name} from file {source.first_file_index}"
    files = pipeline | f"{step}: files" >> beam.Create(source.files) | f"{step}: spread files" >> beam.Reshuffle()
    if prepared.is_local:  # nobody to spread blocks to: they would all be held in memory
        parse = beam.ParDo(ReadAndParse(prepared, name, source))
        return files | f"{step}: parse" >> parse.with_outputs(REJECTED, SUMMARY, main="rows")
    return (
        files
        | f"{step}: read" >> beam.ParDo(reader_of(source))
        | f"{step}: spread blocks" >> beam.Reshuffle()
        | f"{step}: parse"
        >> beam.ParDo(ParseBlock(prepared, name, source)).with_outputs(REJECTED, SUMMARY, main="rows")
    )


def _write_rejected(element: tuple[str, Iterable[list[RejectedRow]]], output: str) -> None:
    table, groups = element
    rows = sorted((row for group in groups for row in group), key=lambda row: (row.file, row.line))
    lines = "".join(row.to_json() + "\n" for row in rows[:MAX_LISTED])
    storage.write_bytes(storage.join(output, "rejected", f"{table}.jsonl"), lines.encode())
