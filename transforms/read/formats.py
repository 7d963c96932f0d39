"""The reader and the parser of each format."""

from __future__ import annotations

from typing import Any, Protocol

import apache_beam as beam
import pyarrow as pa

from transforms.read.blocks import ReadBlocks
from transforms.read.csv_rows import CsvParser
from transforms.read.json_rows import JsonParser
from transforms.read.parquet_rows import ParquetParser, ReadRowGroups
from transforms.read.rejected import RejectedRow
from transforms.read.sources import InputSource
from transforms.read.wanted import Wanted


class Parser(Protocol):
    """Parses what the reader of its format yields."""

    def parse(self, block: Any) -> tuple[pa.Table, list[RejectedRow]]:
        """Return the rows and the rejected ones.

        The table has the wanted columns and `__line__`. A column is of strings or of a native scalar type, where null
        stands for missing; those wanted as lists may be lists of such.
        """


def reader_of(source: InputSource) -> beam.DoFn:
    """(file index, path) → blocks."""
    if source.config.format == "parquet":
        return ReadRowGroups()
    return ReadBlocks(header=source.config.format == "csv" and source.config.header)


def parser_of(name: str, source: InputSource, wanted: Wanted) -> Parser:
    if source.config.format == "parquet":
        return ParquetParser(name, wanted)
    if source.config.format == "jsonl":
        return JsonParser(name, wanted)
    return CsvParser(name, source.config, source.columns, wanted.columns)
