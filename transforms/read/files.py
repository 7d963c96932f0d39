"""Which files a table consists of, and which columns they have. Runs before the pipeline, so errors come early."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from apache_beam.io.filesystems import FileSystems

from tfrec.errors import ConfigError, DataError, did_you_mean
from transforms import storage
from transforms.dataset_config import DatasetConfig, TableConfig, TableName, source_columns

TABLES: tuple[TableName, ...] = ("events", "users", "items")


@dataclass(frozen=True)
class InputTable:
    """A table of the log, found and looked into."""

    name: TableName
    config: TableConfig
    paths: tuple[str, ...]
    size_bytes: int
    columns: tuple[str, ...]


def find_tables(config: DatasetConfig, input_dir: str) -> dict[TableName, InputTable]:
    """Match the file patterns and read the headers.

    Raises:
        DataError: a pattern matches nothing, all event files are empty, or headers differ between files.
        ConfigError: a feature names a column that no table has.

    """
    found: dict[TableName, InputTable] = {}
    for name in TABLES:
        table = config.table(name)
        if table is None:
            continue
        files = []
        for pattern in table.files:
            matches = storage.list_files(storage.join(input_dir, pattern))
            if not matches:
                raise DataError(
                    f"{name}: no file matches {pattern!r} in {input_dir}; check --input-dir and {name}.files"
                )
            files += matches
        sizes = {file.path: file.size_in_bytes for file in files}  # a file may match several patterns
        paths, size = tuple(sizes), sum(sizes.values())
        if name == "events" and size == 0:
            raise DataError(f"events: {', '.join(paths)}: empty; there is nothing to learn from")
        found[name] = InputTable(name, table, paths, size, _columns(name, table, paths))
    _check_columns(config, found)
    return found


def _columns(name: str, table: TableConfig, paths: tuple[str, ...]) -> tuple[str, ...]:
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
    with FileSystems.open(path) as file:
        line = file.readline().decode(table.encoding, errors="replace").removeprefix("\ufeff").rstrip("\r\n")
    if not line:
        raise DataError(f"{path}: empty; expected a header line")
    if table.quote is None:
        return tuple(line.split(table.delimiter))
    return tuple(next(csv.reader(io.StringIO(line), delimiter=table.delimiter, quotechar=table.quote)))


def source_table(config: DatasetConfig, tables: dict[TableName, InputTable], feature: str) -> TableName:
    """The table that a feature is read from: that of its role where it has the column, else the events."""
    wanted = source_columns(feature, config.features[feature])
    role_table: dict[str, TableName] = {"user": "users", "item": "items"}
    own = role_table.get(config.features[feature].role, "events")
    if own in tables and set(wanted) <= set(tables[own].columns):
        return own
    return "events"


def _check_columns(config: DatasetConfig, tables: dict[TableName, InputTable]) -> None:
    schema = config.schema_of()
    user_column = source_columns(schema.user_id, schema.features[schema.user_id])[0]
    item_column = source_columns(schema.item_id, schema.features[schema.item_id])[0]
    needed: list[tuple[TableName, str, str]] = [
        ("events", user_column, "the user id"),
        ("events", item_column, "the item id"),
        ("users", user_column, "the id that events are joined by"),
        ("items", item_column, "the id that events are joined by"),
    ]
    if config.label is not None:
        needed.append(("events", config.label.column, "the label"))
    if config.timestamp is not None:
        needed.append(("events", config.timestamp.column, "the timestamp"))
    for name, feature in config.features.items():
        needed += [
            (source_table(config, tables, name), column, f"feature {name!r}")
            for column in source_columns(name, feature)
        ]
    for table, column, what in needed:
        if table in tables and column not in tables[table].columns:
            near = did_you_mean(column, [known for found in tables.values() for known in found.columns])
            raise ConfigError(f"{table} have no column {column!r} for {what}{near}")
