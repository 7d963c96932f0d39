"""Columns of a Parquet file → the few types that cells are read from; a cell of no such type gets a reason."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from transforms.read.json_lines import a_list, an_object


def plain(values: pa.Array, column: str, *, is_list: bool) -> tuple[pa.Array, dict[int, str]]:
    """A column as scalars or, where wanted so, lists of scalars; and row → reason of the cells that are neither."""
    values = _unpacked(values)
    if not pa.types.is_list(values.type):
        return _scalars(values, column)
    if not is_list:
        nulls = pa.nulls(len(values), pa.string())
        return nulls, dict.fromkeys(_present(values), a_list(column))
    flat, bad = _scalars(_unpacked(values.flatten()), column)
    parents = pc.list_parent_indices(values)
    reasons = {parents[position].as_py(): reason for position, reason in reversed(bad.items())}
    lengths = pc.list_value_length(values).fill_null(0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, flat), reasons


def _unpacked(values: pa.Array) -> pa.Array:
    """Without dictionaries, extensions and the variants of strings and lists."""
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())
    if pa.types.is_dictionary(kind):
        return _unpacked(values.dictionary_decode())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pc.cast(values, pa.string())
    if pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pc.cast(values, pa.list_(kind.value_type))
    return values


def _scalars(values: pa.Array, column: str) -> tuple[pa.Array, dict[int, str]]:
    kind = values.type
    if pa.types.is_nested(kind):
        reason = an_object(column) if pa.types.is_struct(kind) else f"{column} is a {kind}, not a value"
        return pa.nulls(len(values), pa.string()), dict.fromkeys(_present(values), reason)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _decoded(values, column)
    if pa.types.is_string(kind):
        try:
            values.validate(full=True)  # a file may hold any bytes under this type
        except pa.ArrowInvalid:
            return _decoded(values.view(pa.binary()), column)
    if pa.types.is_float16(kind):
        return pc.cast(values, pa.float32()), {}
    if pa.types.is_duration(kind) or pa.types.is_interval(kind):
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string()), {}
    return values, {}


def _decoded(values: pa.Array, column: str) -> tuple[pa.Array, dict[int, str]]:
    """Strings that were written without saying that they are strings."""
    try:
        return pc.cast(values, pa.string()), {}
    except pa.ArrowInvalid:
        found: list[str | None] = []
        bad = {}
        for row, value in enumerate(values.to_pylist()):
            try:
                found.append(None if value is None else value.decode("utf-8"))
            except UnicodeDecodeError:
                found.append(None)
                bad[row] = f"{column} is not valid UTF-8"
        return pa.array(found, pa.string()), bad


def _present(values: pa.Array) -> list[int]:
    rows: list[int] = pc.indices_nonzero(values.is_valid()).to_pylist()
    return rows
