"""Files on whatever file system Beam opens, written under a temporary name and renamed when whole."""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms import s3


def join(base: str, *parts: str) -> str:
    return FileSystems.join(base, *parts)


def absolute(path: str) -> str:
    """A local path from the root, links followed: workers stand in another directory than the driver.

    No slash at the end. What is at the end of a link is replaced, not the link.
    """
    return re.sub(r"(?<=[^:/])/+$", "", path) if "://" in path else str(Path(path).resolve())


def has_directories(path: str) -> bool:
    """False on an object store (s3, gs): there a directory is but the beginning of keys, and cannot be renamed."""
    return bool(FileSystems.get_filesystem(path).has_dirs())


@contextmanager
def create(path: str) -> Iterator[BinaryIO]:
    """A new file; a reader sees all of it or nothing, also when a worker is run twice."""
    with_directories = has_directories(path)
    if with_directories:
        parent, _ = FileSystems.split(path)
        make_directory(parent)
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield file
    if with_directories and FileSystems.exists(path):  # an object store writes over what is there
        FileSystems.delete([path])
    FileSystems.rename([temporary], [path])


def write_bytes(path: str, content: bytes) -> None:
    """Write a whole file."""
    if not content and path.startswith("s3://"):
        s3.write_empty(path)
        return
    with create(path) as file:
        file.write(content)


def read_bytes(path: str) -> bytes:
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        content: bytes = file.read()
    return content


def write_table(path: str, table: pa.Table) -> None:
    """Write an Arrow table as an IPC file."""
    with create(path) as file, pa.ipc.new_file(pa.PythonFile(file), table.schema) as writer:
        writer.write_table(table)


def read_table(path: str) -> pa.Table:
    if Path(path).exists():  # a local file needs no copy
        return pa.ipc.open_file(pa.memory_map(path)).read_all()
    return table_of(read_bytes(path))


def table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def table_of(content: bytes) -> pa.Table:
    return pa.ipc.open_file(pa.BufferReader(content)).read_all()


def append_table(sink: pa.NativeFile, table: pa.Table) -> tuple[int, int]:
    """Write a table behind others into one local file; returns where it begins and how long it is."""
    offset = sink.tell()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return offset, sink.tell() - offset


def read_appended(path: str, offset: int, length: int) -> pa.Table:
    """A table that `append_table` wrote."""
    with open(path, "rb") as file:
        file.seek(offset)
        return pa.ipc.open_stream(pa.py_buffer(file.read(length))).read_all()


def exists(path: str) -> bool:
    """Whether there is a file or a directory; on an object store a directory is there when something is in it."""
    if FileSystems.exists(path):
        return True
    if has_directories(path):
        return False
    [match] = FileSystems.match([join(path, "?**")], [1])  # not the key "path/", with which consoles mark directories
    return bool(match.metadata_list)


def make_directory(path: str) -> None:
    if not FileSystems.exists(path):
        try:
            FileSystems.mkdirs(path)
        except OSError:
            if not FileSystems.exists(path):  # another worker may have made it meanwhile
                raise


def remove(path: str) -> None:
    """Remove a file, or a directory with all that is in it, if it is there."""
    if not has_directories(path):
        FileSystems.delete([path, f"{path}/"])  # the key, and all keys below it
    elif "://" in path:
        if FileSystems.exists(path):
            FileSystems.delete([path])
    elif Path(path).is_dir():  # Beam would take signs such as [ in its name for a pattern
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)


def rename(source: str, target: str) -> None:
    """Rename a file or a directory to a name that is free. Atomic for a directory, but not on an object store."""
    if has_directories(source):
        FileSystems.rename([source], [target])
    else:
        copy_files(source, target, names_in(source))
        remove(source)


def copy_files(source: str, target: str, names: list[str]) -> None:
    """Copy the named files (relative paths) from one directory of an object store to another, in that order."""
    pairs = [[join(directory, name) for name in names] for directory in (source, target)]
    for path, _, error in FileSystems.copy(*pairs) or ():  # s3 returns the errors, gs raises them
        if error is not None:
            raise BeamIOError("Copy operation failed", {path: error})


def names_in(directory: str) -> list[str]:
    """Relative paths of all files below a directory."""
    return [metadata.path[len(directory) :].lstrip("/") for metadata in list_files(join(directory, "**"))]


def list_files(pattern: str) -> list[Any]:
    """Metadata (`path`, `size_in_bytes`) of the files that match, sorted by path."""
    [match] = FileSystems.match([pattern])
    found = [metadata for metadata in match.metadata_list if not metadata.path.endswith("/")]  # see `exists`
    return sorted(found, key=lambda metadata: metadata.path)


def upload_directory(local: Path, target: str) -> None:
    """Copy a local directory tree to any file system."""
    for file in sorted(local.rglob("*")):
        if file.is_file():
            write_bytes(join(target, *file.relative_to(local).parts), file.read_bytes())


def local_copy(directory: str, files: list[str]) -> Path:
    """The directory itself where it is local, else a temporary copy of the named files (relative paths)."""
    if Path(directory).exists():
        return Path(directory)
    target = Path(tempfile.mkdtemp(prefix="tfrec-"))
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(read_bytes(join(directory, *name.split("/"))))
    return target
