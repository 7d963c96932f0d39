"""Parquet files → row groups → Arrow tables of the wanted columns, and the rejected rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa

from transforms.read.blocks import Place
from transforms.read.csv_rows import LINE
from transforms.read.native import plain
from transforms.read.parquet_columns import column_at
from transforms.read.parquet_file import open_parquet
from transforms.read.rejected import RejectedRow
from transforms.read.texts import shown
from transforms.read.unusable import control_characters
from transforms.read.wanted import Wanted

PART_ROWS = 1 << 20  # of a row group that are held in memory at once


@dataclass(frozen=True)
class RowGroup(Place):
    """Some rows of a row group, to be read where they are parsed; `first_line` is the first row's number from 1."""

    number: int
    skipped: int  # rows of the group before these
    rows: int


class ReadRowGroups(beam.DoFn):
    """(file_index, path) → `RowGroup`s."""

    def process(self, element: tuple[int, str]) -> Iterator[RowGroup]:
        file_index, path = element
        first_row = 1
        with open_parquet(path) as file:
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        for number, size in enumerate(sizes):
            for skipped in range(0, size, PART_ROWS):
                rows = min(PART_ROWS, size - skipped)
                yield RowGroup(file_index, path, first_row + skipped, number, skipped, rows)
            first_row += size


class ParquetParser:
    """Reads and unpacks row groups of one table."""

    def __init__(self, name: str, wanted: Wanted) -> None:
        self._name = name
        self._wanted = wanted

    def parse(self, block: RowGroup) -> tuple[pa.Table, list[RejectedRow]]:
        """Return the rows with the wanted columns and `__line__`, and the rejected rows."""
        read = _read(block, self._wanted.columns)
        columns: dict[str, pa.Array] = {}
        reasons: dict[int, str] = {}
        for name in self._wanted.columns:
            values = pa.concat_arrays(column_at(read, name).chunks) if block.rows else pa.nulls(0, pa.string())
            columns[name], bad = plain(values, name, is_list=name in self._wanted.lists)
            reasons = bad | reasons
        rows = pa.table(columns)
        reasons = control_characters(rows, self._wanted) | reasons
        rows = rows.append_column(LINE, pa.array(np.arange(block.first_line, block.first_line + block.rows)))
        if not reasons:
            return rows, []
        rejected = [
            RejectedRow(self._name, block.path, block.first_line + row, reason, self._text(read, row))
            for row, reason in sorted(reasons.items())
        ]
        is_kept = np.ones(block.rows, dtype=bool)
        is_kept[list(reasons)] = False
        return rows.filter(pa.array(is_kept)), rejected

    def _text(self, read: pa.Table, row: int) -> str:
        return " | ".join(shown(column_at(read, name)[row]) for name in self._wanted.columns)


def _read(block: RowGroup, columns: tuple[str, ...]) -> pa.Table:
    """The rows of a block, of the columns that the paths lie in."""
    with open_parquet(block.path) as file:
        if block.skipped == 0 and block.rows == file.metadata.row_group(block.number).num_rows:
            return file.read_row_group(block.number, columns=list(columns), use_threads=False)
        batches, seen = [], 0
        for batch in file.iter_batches(PART_ROWS, [block.number], list(columns), use_threads=False):
            start, end = max(block.skipped - seen, 0), min(block.skipped + block.rows - seen, len(batch))
            if start < end:
                batches.append(batch.slice(start, end - start))
            seen += len(batch)
            if seen >= block.skipped + block.rows:
                break
        return pa.Table.from_batches(batches)
