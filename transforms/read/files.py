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
        paths = tuple(dict.fromkeys(file.path for file in files))
        size = sum(file.size_in_bytes for file in files)
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
    if len(table.delimiter) > 1:
        return tuple(line.split(table.delimiter))
    quoting = csv.QUOTE_NONE if table.quote is None else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(line), delimiter=table.delimiter, quotechar=table.quote or '"', quoting=quoting)
    return tuple(next(reader))


def source_table(config: DatasetConfig, tables: dict[TableName, InputTable], feature: str) -> TableName:
    """The table that a feature is read from: that of its role where it has the column, else the events."""
    wanted = source_columns(feature, config.features[feature])
    role_table: dict[str, TableName] = {"user": "users", "item": "items"}
    own = role_table.get(config.features[feature].role, "events")
    if own in tables and set(wanted) <= set(tables[own].columns):
        return own
    return "events"


def _check_columns(config: DatasetConfig, tables: dict[TableName, InputTable]) -> None:
    events = tables["events"].columns
    schema = config.schema_of()
    required = {"the user id": schema.features[schema.user_id], "the item id": schema.features[schema.item_id]}
    named = {f"{what}": source_columns(n, f)[0] for (what, f), n in zip(required.items(), (schema.user_id, schema.item_id), strict=True)}
    if config.label is not None:
        named["label"] = config.label.column
    if config.timestamp is not None:
        named["timestamp"] = config.timestamp.column
    for what, column in named.items():
        if column not in events:
            raise ConfigError(f"events have no column {column!r} for {what}{did_you_mean(column, events)}")
    for name, feature in config.features.items():
        wanted = source_columns(name, feature)
        table = tables[source_table(config, tables, name)]
        for column in wanted:
            if column not in table.columns:
                everywhere = [known for found in tables.values() for known in found.columns]
                raise ConfigError(
                    f"feature {name!r}: no table of its role has column {column!r}{did_you_mean(column, everywhere)}"
                )
    for side, key in (("users", schema.user_id), ("items", schema.item_id)):
        if side in tables:
            column = source_columns(key, schema.features[key])[0]
            if column not in tables[side].columns:
                raise ConfigError(
                    f"{side} have no column {column!r} to join the events by{did_you_mean(column, tables[side].columns)}"
                )
