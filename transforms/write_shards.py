"""Rows of one file, from wherever they were encoded → that file."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tfrec.codec import frame_batches, pack_rows
from tfrec.dataset import directory
from tfrec.dataset.directory import part_name
from tfrec.schema import SPLITS, USER_INDEX
from transforms import layout, storage
from transforms.encode_plan import ORDER, EncodePlan
from transforms.exchange import Sent, tables_of


class WriteShard(beam.DoFn):
    """((part, shard), portions) → one TFRecord file, whose rows stand in the order of their hashes."""

    def __init__(self, plan: EncodePlan) -> None:
        self._plan = plan

    def process(self, element: tuple[tuple[str, int], Iterable[Sent]]) -> Iterator[dict[str, Any]]:
        (part, shard), portions = element
        rows = pa.concat_tables(tables_of(portions)).combine_chunks()
        rows = rows.take(pa.array(np.argsort(rows.column(ORDER).to_numpy())))
        if part == "users":
            rows = with_raw_users(rows, self._plan)
        yield write_records(self._plan, part, shard, rows.drop_columns([ORDER]))


def with_raw_users(rows: pa.Table, plan: EncodePlan) -> pa.Table:
    """Add the raw columns of the users table; rows are given with their index."""
    users = storage.read_table(layout.encoded_side(plan.output, "users"))
    raw = users.select([name for name in users.column_names if name.startswith(directory.RAW_PREFIX)])
    taken = raw.take(rows.column(USER_INDEX).combine_chunks())
    for name in taken.column_names:
        rows = rows.append_column(name, taken.column(name))
    return rows


def write_records(plan: EncodePlan, part: str, shard: int, rows: pa.Table) -> dict[str, Any]:
    """Write one file whole and return its entry for the manifest."""
    name = part_name(shard, plan.shards[part], is_compressed=plan.is_compressed)
    content = (flat.data for flat in frame_batches(pack_rows(rows, plan.rows_per_record if part in SPLITS else 1)))
    size, digest = 0, hashlib.sha256()
    with storage.create(storage.join(plan.output, part, name)) as file:
        for piece in _compressed(content) if plan.is_compressed else content:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return {"part": part, "name": name, "records": rows.num_rows, "bytes": size, "sha256": digest.hexdigest()}


def _compressed(content: Iterable[memoryview]) -> Iterator[bytes]:
    """The pieces of a gzip file: zlib writes no clock into its header, so the same rows are the same bytes."""
    packer = zlib.compressobj(level=1, wbits=16 + zlib.MAX_WBITS)
    for piece in content:
        yield packer.compress(piece)
    yield packer.flush()
