"""Third pipeline: ordered events → encoded records, shuffled, as TFRecord files; users and items beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tfrec.dataset import directory
from tfrec.feature_transform import FeatureTransform
from tfrec.schema import SPLITS, USER_INDEX
from transforms import layout, storage
from transforms.base.users import read_base_users
from transforms.encode_plan import ORDER, EncodePlan, portions_of
from transforms.exchange import Portions, by_key
from transforms.gather import GatherJson
from transforms.idle import without_events
from transforms.read.typed import SOURCE
from transforms.shards import values_per_record
from transforms.steps.mix import mix64
from transforms.steps.negatives import written_rows
from transforms.steps.records import PartitionRecords, Sides
from transforms.write_shards import WriteShard

SHARD_SEED, ORDER_SEED = 1, 2  # of the hashes that choose a row's file and its place there
STRETCH_VALUES = 1 << 22  # numbers of one stretch of records, histories included, that are in memory at once


class EncodePartition(beam.DoFn):
    """Partition number → ((part, shard), rows with their order)."""

    def __init__(self, plan: EncodePlan) -> None:
        self._plan = plan
        self._files = plan.transform_files

    def setup(self) -> None:
        output = self._plan.output
        local = storage.local_copy(storage.join(output, directory.TRANSFORM), self._files)
        self._transform = FeatureTransform(self._plan.schema, local)
        self._users = storage.read_table(layout.encoded_side(output, "users"))
        self._items = storage.read_table(layout.encoded_side(output, "items"))

    def process(self, partition: int) -> Iterator[Any]:
        plan = self._plan
        events = plan.partitions.read(partition)
        split = plan.split.assign(events)
        past = read_base_users(plan.output, partition) if plan.has_base else None
        sides = Sides(self._users, self._items, past)
        records = PartitionRecords(events, split, plan.schema, self._transform, sides)
        source = events.column(SOURCE).to_numpy()
        order, shard_hash = mix64(source, ORDER_SEED), mix64(source, SHARD_SEED)
        is_written = written_rows(events, split, plan.keep_negatives)
        stretch = max(1, STRETCH_VALUES // values_per_record(plan.schema))
        for start in range(0, events.num_rows, stretch):
            rows = slice(start, start + stretch)
            found, kept = records.stretch(start, stretch), is_written[rows]
            chosen = (split[rows][kept], order[rows][kept], shard_hash[rows][kept])
            yield from plan.send(self._portions(found.filter(pa.array(kept)), *chosen))
        latest = records.latest_users()
        user_index = latest.column(USER_INDEX).to_numpy()
        shard = user_index * plan.shards["users"] // max(plan.users, 1)
        yield from plan.send(portions_of("users", latest, user_index, shard))

    def _portions(self, records: pa.Table, split: np.ndarray, order: np.ndarray, shard_hash: np.ndarray) -> Portions:
        places = [(name, shard) for name in SPLITS for shard in range(self._plan.shards[name])]
        first = np.cumsum([0, *(self._plan.shards[name] for name in SPLITS[:-1])])
        shards = np.array([self._plan.shards[name] for name in SPLITS], np.uint64)
        place = first[split] + (shard_hash % shards[split]).astype(np.int64)
        return by_key(records.append_column(ORDER, pa.array(order)), place, places.__getitem__)


def build_encode(pipeline: beam.Pipeline, plan: EncodePlan) -> None:
    """Add the whole of the third pipeline."""
    encoded = (
        pipeline
        | "partitions" >> beam.Create(plan.partitions.numbers)
        | "spread" >> beam.Reshuffle()
        | "encode" >> beam.ParDo(EncodePartition(plan))
    )
    others = (
        pipeline
        | "once" >> beam.Create([None])
        | "without events"
        >> beam.FlatMap(lambda _: (sent for found in without_events(plan) for sent in plan.send(found)))
    )
    files = (
        (encoded, others)
        | "rows" >> beam.Flatten()
        | "by shard" >> beam.GroupByKey()
        | "write" >> beam.ParDo(WriteShard(plan))
    )
    files | "files" >> GatherJson(layout.summary(plan.output, "files"), _sorted_files)


def _send_others(_: None, plan: EncodePlan) -> Iterator[Any]:
    for portions in without_events(plan):
        yield from plan.send(portions)


def _sorted_files(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(entries, key=lambda entry: (entry["part"], entry["name"]))
