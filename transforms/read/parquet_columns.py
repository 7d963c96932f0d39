"""The columns of a Parquet file that dotted paths name, and what is wrong with one that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc

from tfrec.errors import DataError


@contextmanager
def parquet_errors(path: str) -> Iterator[None]:
    """What Arrow says of a file that is no Parquet, is cut off or damaged, as a DataError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        why = str(error).splitlines()[0].rstrip(".")
        message = f"{path}: cannot be read as Parquet ({why}); is it cut off, or of another format?"
        raise DataError(message) from error


def common_columns(schemas: Iterable[pa.Schema]) -> tuple[str, ...]:
    """Columns that all files have, in the order of the first."""
    common: dict[str, None] | None = None
    for schema in schemas:
        found = columns_in(schema)
        common = found if common is None else {name: None for name in common if name in found}
    return tuple(common or ())


def columns_in(schema: pa.Schema) -> dict[str, None]:
    """The dotted paths of all columns that are not themselves structs."""
    found: dict[str, None] = {}
    for field in schema:
        _add_paths(field, "", found)
    return found


def _add_paths(field: pa.Field, prefix: str, found: dict[str, None]) -> None:
    if not pa.types.is_struct(field.type):
        found[prefix + field.name] = None
        return
    for inner in field.type:
        _add_paths(inner, f"{prefix}{field.name}.", found)


def column_at(rows: pa.Table, path: str) -> pa.ChunkedArray:
    """The column of that name, else the one inside structs."""
    if path in rows.column_names:
        return rows.column(path)
    root, *keys = path.split(".")
    return pc.struct_field(rows.column(root), keys)
