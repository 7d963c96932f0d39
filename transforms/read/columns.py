"""Which columns the files of a table have, from a look at their beginnings."""

from __future__ import annotations

import csv
import io

from tfrec.errors import DataError
from transforms.dataset_config import TableConfig
from transforms.read.blocks import first_lines
from transforms.read.json_paths import PEEK_BYTES, PEEK_FILES, first_keys
from transforms.read.parquet_columns import columns_in, common_columns
from transforms.read.parquet_file import schema_of


def columns_of(name: str, table: TableConfig, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Columns that all files of a table have.

    Raises:
        DataError: a file has no header, another one than the first file, or is not of the format; or a name stands
            twice.

    """
    if table.format == "jsonl":
        return _json_columns(table, paths)
    if table.format == "parquet":
        return common_columns(map(schema_of, paths))
    if table.columns is not None:
        return table.columns
    headers = {path: _header(table, path) for path in paths}
    first = headers[paths[0]]
    for path, header in headers.items():
        if header != first:
            raise DataError(f"{path}: its header {list(header)} differs from that of {paths[0]}: {list(first)}")
    if len(set(first)) < len(first):
        raise DataError(f"{paths[0]}: the header of {name} names a column twice: {list(first)}")
    return first


def _header(table: TableConfig, path: str) -> tuple[str, ...]:
    first, _, _ = first_lines(path, PEEK_BYTES).partition(b"\n")
    line = first.decode(table.encoding, errors="replace").rstrip("\r")
    if not line:
        raise DataError(f"{path}: empty; expected a header line")
    if table.quote is None:
        return tuple(line.split(table.delimiter))
    try:
        return tuple(next(csv.reader(io.StringIO(line), delimiter=table.delimiter, quotechar=table.quote)))
    except csv.Error as error:
        raise DataError(f"{path}: its header cannot be read ({error}); lines must end with \\n or \\r\\n") from None


def _json_columns(table: TableConfig, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Keys of the first rows, dotted; a row may lack any of them, so one that has a key is enough."""
    found = dict.fromkeys(table.columns or ())
    rows = 0
    for path in paths[:PEEK_FILES]:
        keys, rows_of_file = first_keys(first_lines(path, PEEK_BYTES))
        found |= keys
        rows += rows_of_file
    if not rows:
        raise DataError(
            f"{paths[0]}: its first lines hold no JSON object; 'format: jsonl' needs one on each line: mend the file "
            "or set another format"
        )
    return tuple(found)


def file_without(table: TableConfig, paths: tuple[str, ...], column: str) -> str:
    """The first file of a table that lacks a column which `columns_of` does not have."""
    if table.format == "parquet":
        for path in paths:
            if column not in columns_in(schema_of(path)):
                return path
    return paths[0]
