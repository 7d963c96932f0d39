"""Files of any file system that Beam opens, decompressed by the end of their names; a file cut off is an error."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

READ_ERRORS = (OSError, EOFError, zlib.error)  # of whichever decompressor; Arrow's are OSErrors
GZIP, BZIP2, ZSTANDARD = (".gz",), (".bz2",), (".zst", ".zstd")


@contextmanager
def open_text(path: str) -> Iterator[Any]:
    """A file of text; Beam itself takes a compressed file that is cut off for whole."""
    if not path.endswith(GZIP + BZIP2 + ZSTANDARD):
        with FileSystems.open(path) as file:
            yield file
        return
    with open_as_is(path) as packed, _decompressed(packed, path) as file:
        yield file


def open_as_is(path: str) -> Any:
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def _decompressed(packed: Any, path: str) -> Any:
    if path.endswith(GZIP):
        return gzip.GzipFile(fileobj=packed)
    if path.endswith(BZIP2):
        return bz2.BZ2File(packed)
    # The zstandard package takes half a frame for the end of the file; Arrow does not.
    return pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd")
