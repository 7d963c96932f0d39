"""The first rows of a table in whichever format, which the end of its files' names tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet

from tfrec.errors import DataError
from transforms.infer.column import Column
from transforms.infer.dialect import Dialect, Table, read_table
from transforms.infer.sample import MAX_LINES, Sample, read_sample, sample_lines
from transforms.read.json_paths import PEEK_BYTES, PEEK_FILES, first_keys, paths_in, value_at
from transforms.read.native import plain
from transforms.read.parquet_columns import column_at, columns_in, common_columns, parquet_errors
from transforms.read.texts import list_texts, text_of, texts

_COMPRESSED = (".gz", ".bz2", ".zst", ".zstd")
_ENDINGS: dict[str, Literal["jsonl", "parquet"]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_OBJECTS = "lists of objects, which no feature reads"


def sample_table(paths: Sequence[Path]) -> Table:
    """Look into files of one form.

    Raises:
        DataError: a file is absent, empty or not of its format, or they are of several formats.

    """
    formats = {path: format_of(path) for path in paths}
    first = formats[paths[0]]
    for path, found in formats.items():
        if found != first:
            raise DataError(f"{path}: is {found} by its name where {paths[0]} is {first}; give logs of one form")
        if not path.exists():
            raise DataError(f"{path}: cannot be read (No such file or directory); name an existing file of rows")
    if first == "jsonl":
        return _json_table(paths)
    if first == "parquet":
        return _parquet_table(paths)
    return read_table(read_sample(paths))


def format_of(path: Path) -> Literal["csv", "jsonl", "parquet"]:
    """By the end of the name, before that of a compression."""
    plain_name = path.with_suffix("") if path.suffix in _COMPRESSED else path
    return _ENDINGS.get(plain_name.suffix.lower(), "csv")


def _json_table(paths: Sequence[Path]) -> Table:
    rows: list[dict[str, Any]] = []
    lines = 0
    seen: dict[str, None] = {}
    for path in paths:
        content = sample_lines(path, max(2, MAX_LINES // len(paths)))
        if path in paths[:PEEK_FILES]:
            seen |= first_keys(content[:PEEK_BYTES])[0]
        for line in content.split(b"\n"):
            if not line.strip():
                continue
            lines += 1
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue  # the run rejects it
            if isinstance(row, dict):
                rows.append(row)
    if not rows:
        raise DataError(f"{paths[0]}: holds no JSON object on a line of its own; write one row per line")
    names = dict.fromkeys(path for row in rows for path in paths_in(row))
    columns = tuple(_json_column(name, [value_at(row, name) for row in rows]) for name in names)
    rare = tuple(column.name for column in columns if column.name not in seen)
    return _table(paths, "jsonl", columns, 1 - len(rows) / lines, rare)


def _json_column(name: str, values: list[Any]) -> Column:
    if not any(isinstance(value, list) for value in values):
        scalars = ("" if isinstance(value, dict) else text_of(value).strip() for value in values)
        return Column(name, tuple(scalars))
    cells = [value if isinstance(value, list) else [] if value is None else [value] for value in values]
    if any(isinstance(element, list | dict) for cell in cells for element in cell):
        return Column(name, ("",) * len(values), unreadable=_OBJECTS)
    return _list_column(name, [[text_of(element) for element in cell] for cell in cells])


def _parquet_table(paths: Sequence[Path]) -> Table:
    share = max(2, MAX_LINES // len(paths))
    tables = []
    for path in paths:
        with parquet_errors(str(path)), pa.parquet.ParquetFile(path) as file:
            batch = next(file.iter_batches(share, columns=list(columns_in(file.schema_arrow))), None)
        if batch is not None:
            tables.append(pa.Table.from_batches([batch]))
    if not tables or not sum(table.num_rows for table in tables):
        raise DataError(f"{paths[0]}: holds no rows; name a file with some")
    columns = tuple(_parquet_column(name, tables) for name in common_columns(table.schema for table in tables))
    return _table(paths, "parquet", columns, 0.0, ())


def _parquet_column(name: str, tables: list[pa.Table]) -> Column:
    """Files may have one column in several types; their texts are alike."""
    chunks = [column_at(table, name).combine_chunks() for table in tables]
    if any(_is_list(chunk.type) for chunk in chunks):
        found = [plain(chunk, name, is_list=True) for chunk in chunks]
        if any(bad for _, bad in found):
            return Column(name, ("",) * sum(map(len, chunks)), unreadable=_OBJECTS)
        return _list_column(name, [cell for values, _ in found for cell in list_texts(values).to_pylist()])
    scalars = [plain(chunk, name, is_list=False) for chunk in chunks]
    if any(bad for _, bad in scalars):
        return Column(name, ("",) * sum(map(len, chunks)), unreadable=f"{chunks[0].type}, which no feature reads")
    return Column(name, tuple(cell.strip() for values, _ in scalars for cell in texts(values).to_pylist()))


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _list_column(name: str, cells: list[list[str]]) -> Column:
    return Column(name, tuple("\x1f".join(cell) for cell in cells), tuple(tuple(cell) for cell in cells))


def _table(
    paths: Sequence[Path],
    form: Literal["jsonl", "parquet"],
    columns: tuple[Column, ...],
    odd_share: float,
    rare: tuple[str, ...],
) -> Table:
    if len(columns) < 2:
        raise DataError(f"{paths[0]}: has {len(columns)} column; a log needs a user and an item column")
    names = tuple(column.name for column in columns)
    dialect = Dialect("", None, names, "", len(columns), odd_share, form, rare)
    return Table(Sample(tuple(paths), (), "utf-8"), dialect, columns)
