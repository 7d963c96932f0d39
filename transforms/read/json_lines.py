"""JSON lines one at a time: slow, exact, and the meaning of every line. `ArrowJson` is the same, faster."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from transforms.read.json_paths import value_at
from transforms.read.texts import text_of
from transforms.read.wanted import Wanted


class _UnusableError(Exception):
    """The reason why a line is no row."""


@dataclass(frozen=True)
class ReadLines:
    """Some lines, read.

    Attributes:
        rows: the wanted columns, each of strings or, where wanted so, of lists of strings.
        kept: the position of each row among the lines.
        rejected: (position, reason) of the other lines.

    """

    rows: pa.Table
    kept: list[int]
    rejected: list[tuple[int, str]]


def read_lines(lines: list[bytes], wanted: Wanted) -> ReadLines:
    """Read lines without their ends; every one that is not blank becomes a row or is rejected."""
    columns: dict[str, list[Any]] = {name: [] for name in wanted.columns}
    kept, rejected = [], []
    for position, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            row = _row(line)
            cells = [_cell(row, name, wanted) for name in wanted.columns]
        except _UnusableError as unusable:
            rejected.append((position, str(unusable)))
            continue
        kept.append(position)
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append(cell)
    arrays = {name: pa.array(column, _type(name, wanted)) for name, column in columns.items()}
    return ReadLines(pa.table(arrays), kept, rejected)


def _type(column: str, wanted: Wanted) -> pa.DataType:
    return pa.list_(pa.string()) if column in wanted.lists else pa.string()


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise _UnusableError("not valid UTF-8; write the file as UTF-8") from None
    except RecursionError:
        raise _UnusableError("not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise _UnusableError(f"not valid JSON: {error}") from None
    if not isinstance(row, dict):
        raise _UnusableError("not a JSON object")
    return row


def _cell(row: dict[str, Any], column: str, wanted: Wanted) -> str | list[str]:
    value = value_at(row, column)
    if column in wanted.lists:
        if isinstance(value, list):
            return [_text(element, column) for element in value]
        return [] if value is None else [_text(value, column)]
    if isinstance(value, list):
        raise _UnusableError(a_list(column))
    return _text(value, column)


def _text(value: Any, column: str) -> str:
    if isinstance(value, dict):
        raise _UnusableError(an_object(column))
    if isinstance(value, list):
        raise _UnusableError(f"{column} is a list of lists; write one list of values")
    text = value if isinstance(value, str) else text_of(value)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise _UnusableError(f"{column} holds half of a surrogate pair") from None
    return text


def a_list(column: str) -> str:
    return f"{column} is a list; set 'list: true' on its feature"


def an_object(column: str) -> str:
    return f"{column} is an object, not a value; name one of its keys as {column}.KEY"
