"""Tables brought together by key: through the runner's own shuffle, or on one machine through files.

Beam's DirectRunner holds all that it shuffles in memory. With a local directory for it, the tables go to files there,
and the runner shuffles only where they stand: what a run needs is then bounded by its largest group, not by the log.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from transforms import storage

Portions = dict[Any, pa.Table]  # key → rows for it


Sent = bytes | tuple[str, int, int]  # a table's Arrow bytes, or path, offset and length of them


class Sender:
    """Makes the pairs of a `GroupByKey` of portions: call it in the DoFn that makes them.

    No table is an element of its own: Beam serializes samples of what flows between two steps, to tell its size.
    """

    def __init__(self, directory: str | None) -> None:
        """Send through files in the local `directory`, or through the runner where it is None."""
        self._directory = directory

    def __call__(self, portions: Portions) -> Iterator[tuple[Any, Sent]]:
        if self._directory is None:
            for key, table in portions.items():
                yield key, storage.table_bytes(table)
        elif portions:
            yield from self._to_file(portions, Path(self._directory))

    def _to_file(self, portions: Portions, directory: Path) -> Iterator[tuple[Any, Sent]]:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / uuid.uuid4().hex  # a repeated attempt writes another file
        sent: list[tuple[Any, Sent]] = []
        with pa.OSFile(str(path), "wb") as file:
            for key, table in portions.items():
                sent.append((key, (str(path), *storage.append_table(file, table))))
        yield from sent


def tables_of(sent: Iterable[Sent]) -> list[pa.Table]:
    """The tables that were sent, in no particular order."""
    return [_read(one) for one in sent]


def _read(sent: Sent) -> pa.Table:
    if isinstance(sent, bytes):
        return storage.table_of(sent)
    return storage.read_appended(*sent)


def by_key(table: pa.Table, keys: np.ndarray, names: Callable[[int], Any] = int) -> Portions:
    """Cut a table by an integer key per row.

    Args:
        table: the rows.
        keys: small non-negative ints [rows].
        names: key → what the portion is called.

    """
    if len(keys) == 0:
        return {}
    found = np.unique(keys)
    if len(found) == 1:
        return {names(int(found[0])): table}
    if keys.max() < 1 << 16:
        keys = keys.astype(np.uint16)  # sorted by radix, not by comparison
    taken = table.take(pa.array(np.argsort(keys, kind="stable"))).combine_chunks()
    counts = np.bincount(keys)[found]
    starts = np.cumsum(counts) - counts
    return {names(int(key)): taken.slice(at, count) for key, at, count in zip(found, starts, counts, strict=True)}
