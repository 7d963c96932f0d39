"""Which files a table consists of, and whether they have what is asked. Runs before the pipeline: errors come early."""

from __future__ import annotations

import glob

from tfrec.errors import ConfigError, DataError, did_you_mean
from tfrec.schema import WeightsFeature
from transforms import storage
from transforms.dataset_config import DatasetConfig, TableConfig, TableName, reads_lists, source_columns
from transforms.read.columns import columns_of, file_without
from transforms.read.sources import InputSource, InputTable

TABLES: tuple[TableName, ...] = ("events", "users", "items")


def find_tables(config: DatasetConfig, input_dir: str) -> dict[TableName, InputTable]:
    """Match the file patterns and look which columns there are.

    Raises:
        DataError: a pattern matches nothing, all event files are empty or not of their format, or headers differ
            between files.
        ConfigError: a feature names a column that no table has, or a file belongs to two parts of the events.

    """
    found: dict[TableName, InputTable] = {}
    for name in TABLES:
        parts = config.parts(name)
        if not parts:
            continue
        if name != "events" and parts[0].split is not None:
            raise ConfigError(f"{name}: has 'split'; only events belong to a split: drop it")
        sizes: dict[str, int] = {}
        matched = []
        for part in parts:
            files = _matching(name, part, input_dir)
            for path in files:
                if path in sizes:
                    raise ConfigError(f"{name}: {path} belongs to two parts of the list; name it in one")
            sizes |= files
            matched.append((part, tuple(files)))
        if name == "events" and sum(sizes.values()) == 0:
            raise DataError(f"events: {', '.join(sizes)}: empty; there is nothing to learn from")
        found[name] = InputTable(name, _sources(name, matched), sum(sizes.values()))
    _check_columns(config, found)
    return found


def _matching(name: str, part: TableConfig, input_dir: str) -> dict[str, int]:
    """Sizes of the files by path; a file may match several patterns."""
    files: dict[str, int] = {}
    for pattern in part.files:
        matches = storage.list_files(storage.join(_literal(input_dir), pattern))
        if not matches:
            raise DataError(f"{name}: no file matches {pattern!r} in {input_dir}; check --input-dir and {name}.files")
        files |= {match.path: match.size_in_bytes for match in matches}
    return files


def _literal(input_dir: str) -> str:
    return input_dir if "://" in input_dir else glob.escape(input_dir)


def _sources(name: str, matched: list[tuple[TableConfig, tuple[str, ...]]]) -> tuple[InputSource, ...]:
    sources: list[InputSource] = []
    first_index = 0
    for part, paths in matched:
        sources.append(InputSource(part, paths, columns_of(name, part, paths), first_index))
        first_index += len(paths)
    return tuple(sources)


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
    signals = _signal_columns(config)
    needed += [("events", column, f"the {what}") for column, what in signals.items()]
    for name, feature in config.features.items():
        needed += [
            (source_table(config, tables, name), column, f"feature {name!r}")
            for column in source_columns(name, feature)
        ]
    for table, column, what in needed:
        if table in tables:
            _check_column(tables, table, column, what)
    _check_weights(config, tables)
    _check_lists(config, tables, signals)


def _signal_columns(config: DatasetConfig) -> dict[str, str]:
    """Columns of the events that are read for more than features → what for."""
    found: dict[str, str] = {}
    for what in ("label", "weight", "propensity", "request", "timestamp"):
        part = getattr(config, what)
        if part is not None:
            found |= dict.fromkeys(getattr(part, "columns", None) or (part.column,), what)
    for name, target in config.targets.items():
        found.setdefault(target.column, f"target {name!r}")
    return found


def _check_weights(config: DatasetConfig, tables: dict[TableName, InputTable]) -> None:
    """Weights stand beside what they weigh: they belong to it value by value."""
    for name, feature in config.features.items():
        if not isinstance(feature, WeightsFeature):
            continue
        own, other = (source_table(config, tables, one) for one in (name, feature.of))
        if own != other:
            raise ConfigError(
                f"feature {name!r}: is read from {own}, but {feature.of!r} from {other}; both columns must be in one "
                "table"
            )


def _check_column(tables: dict[TableName, InputTable], table: TableName, column: str, what: str) -> None:
    """Refuse a column that some file of the table lacks."""
    for source in tables[table].sources:
        if column in source.columns:
            continue
        near = did_you_mean(column, {known for found in tables.values() for known in found.columns})
        where = f"{table} have"
        if len(tables[table].sources) > 1 or (source.config.format == "parquet" and len(source.paths) > 1):
            where = f"{table}: {file_without(source.config, source.paths, column)} has"
        if source.config.format != "jsonl":
            raise ConfigError(f"{where} no column {column!r} for {what}{near}")
        rare = "a key that few rows have is named in 'columns'"
        raise ConfigError(f"{where} no key {column!r} in the first rows for {what}{near} ({rare})")


def _check_lists(config: DatasetConfig, tables: dict[TableName, InputTable], signals: dict[str, str]) -> None:
    """Lists stand in JSONL and Parquet; and a column is read as lists by all of its features, or by none."""
    read: dict[tuple[TableName, str], tuple[str, bool]] = {
        ("events", column): (what, False) for column, what in signals.items()
    }
    for name, feature in config.features.items():
        is_list = reads_lists(feature)
        table = source_table(config, tables, name)
        if is_list and any(source.config.format == "csv" for source in tables[table].sources):
            raise ConfigError(
                f"feature {name!r}: 'list: true' reads JSONL or Parquet, {table} are CSV; use 'separator'"
            )
        for column in source_columns(name, feature):
            other, is_other_list = read.setdefault((table, column), (name, is_list))
            if is_list != is_other_list:
                raise ConfigError(f"{other!r} and {name!r}: one reads {column!r} as a list, one does not; drop one")
