"""JSON lines a block at a time with Arrow, where that certainly gives what `read_lines` gives; else not at all."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from transforms.read.json_paths import value_at
from transforms.read.texts import EXACT
from transforms.read.wanted import Wanted

_SAMPLED = 100  # lines from all over a block, from which the types of its columns are learnt
_ONLY_ARROW_TAKES = re.compile(rb"[:,\[]\s*-?Inf(?!inity)")
_Fields = dict[str, Any]  # name → Arrow type, or the fields of an object


class _DifferError(Exception):
    """The values of a column are of several types, or of none that Arrow reads as `read_lines` does."""


def read_block(content: bytes, rows: int, wanted: Wanted) -> pa.Table | None:
    """Read lines of one object each.

    Args:
        content: the lines, none of them blank, without a carriage return before their ends.
        rows: how many.
        wanted: the columns.

    Returns:
        The wanted columns in native types, null where missing; or None where a line is not an object, a value is not
        of its column's type, or Arrow and the standard library might not agree.

    """
    if not _is_one_object_a_line(content, rows) or not _is_common(content):
        return None
    try:
        schema = _schema(_types(content, wanted))
        parsed = pyarrow.json.read_json(
            io.BytesIO(content),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(content) + 1),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except (_DifferError, pa.ArrowException):
        return None
    if parsed.num_rows != rows:
        return None
    columns = {column: _at(parsed, column) for column in wanted.columns}
    return pa.table(columns) if all(map(_is_exact, columns.values())) else None


def _is_one_object_a_line(content: bytes, rows: int) -> bool:
    """Whether each line begins and ends like an object; then, if there are as many objects, each is a line.

    No object can reach over such a line end: `}`, end of line, `{` stands in no object.
    """
    end = len(content) - content.endswith(b"\n")
    return content.startswith(b"{") and content[end - 1 : end] == b"}" and content.count(b"}\n{") == rows - 1


def _is_common(content: bytes) -> bool:
    """Without what Arrow takes and the standard library does not."""
    if b"\x00" in content or (b"Inf" in content and _ONLY_ARROW_TAKES.search(content)):
        return False
    if not content.isascii():
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            return False
    return True


def _sample(content: bytes) -> Iterator[dict[str, Any]]:
    last = -1
    for part in range(_SAMPLED):
        start = content.rfind(b"\n", 0, part * len(content) // _SAMPLED + 1) + 1
        end = content.find(b"\n", start)
        if start > last:
            try:
                yield json.loads(content[start : end if end >= 0 else len(content)])
            except (ValueError, RecursionError):
                raise _DifferError from None
        last = start


def _types(content: bytes, wanted: Wanted) -> dict[str, pa.DataType]:
    sample = list(_sample(content))
    types = {}
    for column in wanted.columns:
        values = [value_at(row, column) for row in sample]
        if column in wanted.lists:
            types[column] = _list_type(values)
        else:
            types[column] = _scalar_type(values)
    return types


def _list_type(values: list[Any]) -> pa.DataType:
    lists = [value for value in values if value is not None]
    if not all(isinstance(value, list) for value in lists):
        if any(isinstance(value, list) for value in lists):
            raise _DifferError
        return _scalar_type(lists)
    return pa.list_(_scalar_type([element for value in lists for element in value]))


def _scalar_type(values: list[Any]) -> pa.DataType:
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {int, float} and kinds:
        return pa.float64() if float in kinds else pa.int64()
    if kinds == {bool}:
        return pa.bool_()
    if kinds <= {str}:
        return pa.string()  # also where no value was seen
    raise _DifferError


def _schema(types: dict[str, pa.DataType]) -> pa.Schema:
    """Fields for the literal key and for the nested one of each path; a block has one of them at most places."""
    fields: _Fields = {}
    for path, kind in types.items():
        _put(fields, [path], kind)
        if "." in path:
            _put(fields, path.split("."), kind)
    return pa.schema(_arrow_fields(fields))


def _put(fields: _Fields, path: list[str], kind: pa.DataType) -> None:
    for key in path[:-1]:
        fields = fields.setdefault(key, {})
        if not isinstance(fields, dict):
            raise _DifferError  # wanted both as a value and as an object
    if path[-1] in fields:
        raise _DifferError
    fields[path[-1]] = kind


def _arrow_fields(fields: _Fields) -> list[pa.Field]:
    return [
        pa.field(key, pa.struct(_arrow_fields(kind)) if isinstance(kind, dict) else kind)
        for key, kind in fields.items()
    ]


def _at(parsed: pa.Table, path: str) -> pa.Array:
    literal = parsed.column(path).combine_chunks()
    if "." not in path or literal.null_count == 0:
        return literal
    root, *keys = path.split(".")
    nested = pc.struct_field(parsed.column(root).combine_chunks(), keys)
    return nested if literal.null_count == len(literal) else pc.coalesce(literal, nested)


def _is_exact(values: pa.Array) -> bool:
    """Whether no float may stand for a large integer, which it would round."""
    flat = values.flatten() if pa.types.is_list(values.type) else values
    if not pa.types.is_float64(flat.type):
        return True
    largest = pc.max(pc.abs(flat)).as_py()
    return largest is None or largest < EXACT
