"""Tables of requests: pandas DataFrames, or plain mappings of columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfrec.errors import ConfigError, did_you_mean


def chunks_of(table: Any, user: str, rows: int) -> Iterator[tuple[list[Any], dict[str, list[Any]]]]:
    """Yield the ids and the features of `rows` rows at a time.

    Raises ConfigError where the column `user` is absent, or columns are not equally long.
    """
    if rows < 1:
        raise ConfigError(f"rows_per_request: got {rows}; allowed: whole numbers from 1")
    columns = {str(name): list(table[name]) for name in table}
    if user not in columns:
        raise ConfigError(f"the table has no column {user!r}{did_you_mean(user, columns)}")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"the table's columns are not equally long: {lengths}")
    ids = columns.pop(user)
    for start in range(0, len(ids), rows):
        end = start + rows
        yield ids[start:end], {name: column[start:end] for name, column in columns.items()}
