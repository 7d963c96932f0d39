"""Files → blocks of whole lines. Reading is sequential per file, so that every row has its line number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from tfrec.errors import DataError
from transforms.read.opening import READ_ERRORS, open_text

BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Place:
    """Where some rows of a file stand; `first_line` counts from 1, and a header is a line too."""

    file_index: int
    path: str
    first_line: int


@dataclass(frozen=True)
class Block(Place):
    """Some whole lines of one file."""

    content: bytes


class ReadBlocks(beam.DoFn):
    """(file_index, path) → `Block`s."""

    def __init__(self, *, header: bool, block_bytes: int = BLOCK_BYTES) -> None:
        self._header = header
        self._block_bytes = block_bytes

    def process(self, element: tuple[int, str]) -> Iterator[Block]:
        file_index, path = element
        line = 1
        with open_text(path) as file:
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
            except READ_ERRORS as error:
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


def first_lines(path: str, block_bytes: int) -> bytes:
    """Whole lines from the beginning of a text file, about `block_bytes` of them; nothing where it is empty.

    Raises:
        DataError: the file cannot be read.

    """
    blocks = ReadBlocks(header=False, block_bytes=block_bytes).process((0, path))
    return next((block.content for block in blocks), b"")
