"""Blocks of a table's files → typed rows, on their way to where they are brought together; the others counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

from tfrec.schema import CategoricalFeature, Schema
from transforms import layout, storage
from transforms.accounting import summary_of
from transforms.dataset_config import DatasetConfig, TableName
from transforms.exchange import Portions, Sender, by_key
from transforms.filters import TimeLimits
from transforms.partitions import partition_of
from transforms.read.blocks import Place
from transforms.read.formats import parser_of, reader_of
from transforms.read.sources import InputSource, InputTable
from transforms.read.typed import TypedRows
from transforms.steps.tokens import for_tokens, tokens_of

REJECTED, SUMMARY = "rejected", "summary"


@dataclass(frozen=True)
class Prepared:
    """What the first pipeline is asked to do."""

    config: DatasetConfig
    tables: dict[TableName, InputTable]
    output: str
    limits: TimeLimits
    is_local: bool  # tables are exchanged through files
    has_base: bool  # there are users known from a base dataset

    @property
    def partitions(self) -> int:
        """By size of the input alone, so that results do not depend on the runner."""
        return max(1, -(-self.tables["events"].size_bytes // self.config.partition_bytes))

    def sender(self, name: str) -> Sender:
        return Sender(layout.exchange(self.output, name) if self.is_local else None)


class ParseBlock(beam.DoFn):
    """Block → (partition of users, events) or (None, rows of a side table); rejected rows and counts beside them."""

    def __init__(self, prepared: Prepared, name: TableName, source: InputSource) -> None:
        self._prepared = prepared
        self._name = name
        self._source = source

    def setup(self) -> None:
        prepared = self._prepared
        self._rows = TypedRows(prepared.config, prepared.tables, self._name, prepared.limits)
        self._parser = parser_of(self._name, self._source, self._rows.wanted)
        self._send = prepared.sender("users")

    def process(self, block: Place) -> Iterator[Any]:
        parsed, malformed = self._parser.parse(block)
        typed, invalid, left_out = self._rows.convert(block, parsed)
        rejected = malformed + invalid
        if rejected:
            yield beam.pvalue.TaggedOutput(REJECTED, rejected)
        yield beam.pvalue.TaggedOutput(SUMMARY, summary_of(self._name, typed.num_rows, rejected, left_out))
        if typed.num_rows == 0:
            return
        if self._name == "events":
            yield from self._send(by_user(typed, self._prepared.config.schema_of(), self._prepared.partitions))
        else:
            yield None, storage.table_bytes(typed)


class ReadAndParse(beam.DoFn):
    """(file index, path) → as `ParseBlock`, for a machine that has no other to give blocks to."""

    def __init__(self, prepared: Prepared, name: TableName, source: InputSource) -> None:
        self._reader = reader_of(source)
        self._parse = ParseBlock(prepared, name, source)

    def setup(self) -> None:
        self._parse.setup()

    def process(self, file: tuple[int, str]) -> Iterator[Any]:
        for block in self._reader.process(file):
            yield from self._parse.process(block)


def by_user(events: pa.Table, schema: Schema, partitions: int) -> Portions:
    """Typed events by group of users; tokens as dictionaries, which are smaller and are looked up once."""
    portions = {0: events}
    if partitions > 1:
        group = for_tokens(events.column(schema.user_id), lambda users: partition_of(users, partitions))
        portions = by_key(events, group)
    names = [name for name in events.column_names if _is_token(schema, name)]
    return {key: _as_dictionaries(table, names) for key, table in portions.items()}


def _is_token(schema: Schema, name: str) -> bool:
    feature = schema.features.get(name)
    return isinstance(feature, CategoricalFeature) and not feature.multivalued


def _as_dictionaries(table: pa.Table, names: list[str]) -> pa.Table:
    for name in names:
        table = table.set_column(table.column_names.index(name), name, tokens_of(table.column(name)))
    return table
