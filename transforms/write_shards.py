"""Rows of one file, from wherever they were encoded → that file."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tfrec.codec import frame_records, pack_rows
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
    content = frame_records(pack_rows(rows, plan.rows_per_record if part in SPLITS else 1))
    if plan.is_compressed:
        content = gzip.compress(content, compresslevel=1, mtime=0)  # no clock in the bytes
    name = part_name(shard, plan.shards[part], is_compressed=plan.is_compressed)
    storage.write_bytes(storage.join(plan.output, part, name), content)
    digest = hashlib.sha256(content).hexdigest()
    return {"part": part, "name": name, "records": rows.num_rows, "bytes": len(content), "sha256": digest}
