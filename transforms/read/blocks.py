"""Files → blocks of whole lines. Reading is sequential per file, so that every row has its line number."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from tfrec.errors import DataError

BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Block:
    """Some whole lines of one file; `first_line` counts from 1 and includes the header."""

    file_index: int
    path: str
    first_line: int
    content: bytes


class ReadBlocks(beam.DoFn):
    """(file_index, path) → `Block`s."""

    def __init__(self, *, header: bool, block_bytes: int = BLOCK_BYTES) -> None:
        self._header = header
        self._block_bytes = block_bytes

    def process(self, element: tuple[int, str]) -> Iterator[Block]:
        file_index, path = element
        line = 1
        with _open(path) as file:
            for number, content in enumerate(self._whole_lines(file, path)):
                if number == 0:
                    content = content.removeprefix(b"\xef\xbb\xbf")
                    if self._header:
                        _, _, content = content.partition(b"\n")
                        line += 1
                if content:
                    yield Block(file_index, path, line, content)
                    line += content.count(b"\n") + (not content.endswith(b"\n"))

    def _whole_lines(self, file: Any, path: str) -> Iterator[bytes]:
        rest = b""
        while True:
            try:
                read: bytes = file.read(self._block_bytes)
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(f"{path}: cannot be read to its end ({error}); is it cut off?") from error
            if not read:
                break
            rest += read
            cut = rest.rfind(b"\n") + 1
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
        if rest:
            yield rest


@contextmanager
def _open(path: str) -> Iterator[Any]:
    """A file, decompressed by the end of its name; Beam itself takes a compressed file that is cut off for whole."""
    if not path.endswith((".gz", ".bz2")):
        with FileSystems.open(path) as file:
            yield file
        return
    with (
        FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as packed,
        gzip.GzipFile(fileobj=packed) if path.endswith(".gz") else bz2.BZ2File(packed) as file,
    ):
        yield file
