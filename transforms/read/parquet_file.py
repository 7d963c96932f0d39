"""Parquet files of any file system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet

from tfrec.errors import DataError
from transforms.read.opening import open_as_is
from transforms.read.parquet_columns import parquet_errors


@contextmanager
def open_parquet(path: str) -> Iterator[pa.parquet.ParquetFile]:
    """An opened file.

    Raises:
        DataError: it is no Parquet file, or cut off, or damaged where it is read.

    """
    with open_as_is(path) as file, parquet_errors(path):
        yield pa.parquet.ParquetFile(file, page_checksum_verification=True)


def schema_of(path: str) -> pa.Schema:
    """The columns of a file.

    Raises:
        DataError: as `open_parquet`; or two columns have one name.

    """
    with open_parquet(path) as file:
        schema = file.schema_arrow
    for name in schema.names:
        if schema.names.count(name) > 1:
            raise DataError(f"{path}: has two columns {name!r}; rename one")
    return schema
