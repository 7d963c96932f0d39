"""The first lines of text files: decoded, and refused where they are no text."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pyarrow as pa

from tfrec.errors import DataError

MAX_LINES = 10_000
MAX_BYTES = 16 << 20
_MAGIC = {
    b"PAR1": ("Parquet", "name it .parquet"),
    b"PK\x03\x04": ("zip", "unpack it"),
    b"\x1f\x8b": ("gzip", "name it .gz"),
    b"BZh": ("bzip2", "name it .bz2"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "name it .zst"),
    b"ARROW1": ("Arrow", "write it as Parquet"),
}
_ALLOWED_CONTROL = frozenset(b"\t\n\r\x0b\x0c\x1b\x85")


@dataclass(frozen=True)
class Sample:
    """The first lines of the files of one table."""

    paths: tuple[Path, ...]
    lines: tuple[tuple[str, ...], ...]  # per file, without ends of line
    encoding: Literal["utf-8", "latin-1"]

    @property
    def names(self) -> str:
        return ", ".join(path.name for path in self.paths)


def read_sample(paths: Sequence[Path], max_lines: int = MAX_LINES) -> Sample:
    """Read the first lines of each file, `max_lines` in all.

    Raises:
        DataError: a file is absent, empty, binary or cut off.

    """
    share = max(2, max_lines // len(paths))
    contents = [sample_lines(path, share) for path in paths]
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    for content in contents:
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            encoding = "latin-1"  # every byte is a character of it, so this cannot fail
    lines = []
    for path, content in zip(paths, contents, strict=True):
        text = content.decode(encoding).removeprefix("\ufeff")
        every = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
        found = (every[0], *(line for line in every[1:] if line.strip()))  # a blank line is no row
        if not any(line.strip() for line in found):
            raise DataError(f"{path}: holds no rows; name a file with some")
        if found[0].lstrip().startswith(('{"', "[{", "{'")) or found[0].strip() in ("{", "["):
            raise DataError(f"{path}: is JSON; give it as one object per line and name it .jsonl")
        lines.append(found)
    return Sample(tuple(paths), tuple(lines), encoding)


def sample_lines(path: Path, lines: int) -> bytes:
    """The first lines of a text file.

    Raises:
        DataError: it is absent, empty, binary or cut off.

    """
    try:
        with _open(path) as file:
            kept = b"".join(file.readline(MAX_BYTES) for _ in range(lines))[:MAX_BYTES]
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); name an existing file of rows") from None
    if not kept:
        raise DataError(f"{path}: empty; there is nothing to infer from")
    for magic, (what, mend) in _MAGIC.items():
        if kept.startswith(magic):
            raise DataError(f"{path}: is a {what} file; {mend}")
    control = sum(byte < 32 and byte not in _ALLOWED_CONTROL for byte in kept[: 1 << 16])
    if b"\x00" in kept or control > len(kept[: 1 << 16]) / 100:
        raise DataError(f"{path}: is binary or UTF-16; give it as UTF-8 or Latin-1 text with one row per line")
    if len(kept) == MAX_BYTES:  # cut inside a line
        kept = kept[: kept.rfind(b"\n") + 1] or kept
    return kept


def _open(path: Path) -> BinaryIO:
    """Opened as the transforms will open it: by the end of the name."""
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.suffix == ".bz2":
        return cast(BinaryIO, bz2.open(path, "rb"))
    if path.suffix in (".zst", ".zstd"):
        return cast(BinaryIO, io.BufferedReader(pa.input_stream(str(path), compression="zstd")))
    return path.open("rb")
