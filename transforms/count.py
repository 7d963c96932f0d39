"""Second pipeline: ordered events → counts of every value in training and overall, and a summary of each split."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tfrec.schema import EVENT_TIME_MS, LABEL, SPLITS
from transforms import layout, storage
from transforms.filters import KeepNegatives
from transforms.gather import GatherJson
from transforms.partitions import Partitions
from transforms.read.typed import SOURCE
from transforms.steps.counts import count_feature, merge_counts
from transforms.steps.latest import IS_TRAIN, latest_per_key
from transforms.steps.negatives import written_rows
from transforms.steps.split import TRAIN, SplitPlan
from transforms.steps.tokens import plain_tokens

SPLIT_SUMMARY, LATEST_ITEMS = "split_summary", "latest_items"


class CountPartition(beam.DoFn):
    """Partition number → (feature, Arrow bytes of counts), its latest item values, a summary of its splits."""

    def __init__(
        self, partitions: Partitions, plan: SplitPlan, features: tuple[str, ...], keep: KeepNegatives | None
    ) -> None:
        self._partitions = partitions
        self._plan = plan
        self._keep = keep
        self._schema = plan.schema
        self._features = features
        self._item_features = [name for name in features if plan.schema.features[name].role == "item"]

    def process(self, partition: int) -> Iterator[Any]:
        events = self._partitions.read(partition)
        split = self._plan.assign(events)
        is_train = (split == TRAIN).astype(np.int64)
        weight = np.ones(events.num_rows, np.int64)
        for name in self._features:
            counts = count_feature(self._schema.features[name], events.column(name), is_train, weight)
            yield name, storage.table_bytes(counts)
        if self._item_features != [self._schema.item_id]:
            item_columns = events.select([*self._item_features, EVENT_TIME_MS, SOURCE])
            item_columns = item_columns.append_column(IS_TRAIN, pa.array(is_train))
            latest = plain_tokens(latest_per_key([item_columns], self._schema.item_id))
            yield beam.pvalue.TaggedOutput(LATEST_ITEMS, storage.table_bytes(latest))
        times = events.column(EVENT_TIME_MS).to_numpy()
        values = {name: events.column(name).to_numpy() for name in (LABEL, *self._schema.targets)}
        is_written = written_rows(events, split, self._keep)
        summary = {}
        for index, name in enumerate(SPLITS):
            rows = split == index
            if rows.any():
                summary[name] = {
                    "rows": int(rows.sum()),
                    "records": int((rows & is_written).sum()),
                    "sums": {name: _sum(of_all[rows]) for name, of_all in values.items()},
                    "first_time_ms": int(times[rows].min()),
                    "last_time_ms": int(times[rows].max()),
                }
        yield beam.pvalue.TaggedOutput(SPLIT_SUMMARY, summary)


def _sum(labels: np.ndarray) -> tuple[float, int]:
    """The sum of the labels that are there, exactly rounded, and how many they are."""
    there = labels[~np.isnan(labels)].tolist()
    return math.fsum(there), len(there)


class MergeTables(beam.CombineFn):
    """Merges Arrow tables by `merge`, a few at a time so that the accumulator stays small."""

    def __init__(self, merge: Callable[[Iterable[pa.Table]], pa.Table]) -> None:
        self._merge = merge

    def create_accumulator(self) -> list[bytes]:
        return []

    def add_input(self, accumulator: list[bytes], element: bytes) -> list[bytes]:
        accumulator.append(element)
        return self._compact(accumulator) if len(accumulator) >= 16 else accumulator

    def merge_accumulators(self, accumulators: Iterable[list[bytes]]) -> list[bytes]:
        return self._compact([content for accumulator in accumulators for content in accumulator])

    def extract_output(self, accumulator: list[bytes]) -> bytes:
        [merged] = self._compact(accumulator)
        return merged

    def _compact(self, contents: list[bytes]) -> list[bytes]:
        if len(contents) < 2:
            return contents
        return [storage.table_bytes(self._merge([storage.table_of(content) for content in contents]))]


def build_count(
    pipeline: beam.Pipeline,
    partitions: Partitions,
    plan: SplitPlan,
    features: tuple[str, ...],
    keep: KeepNegatives | None = None,
) -> None:
    """Add the whole of the second pipeline."""
    schema, output = partitions.schema, partitions.output
    counted = (
        pipeline
        | "partitions" >> beam.Create(partitions.numbers)
        | "spread" >> beam.Reshuffle()
        | "count"
        >> beam.ParDo(CountPartition(partitions, plan, features, keep)).with_outputs(
            SPLIT_SUMMARY, LATEST_ITEMS, main="counts"
        )
    )
    (
        counted.counts
        | "merge" >> beam.CombinePerKey(MergeTables(merge_counts))
        | "save" >> beam.MapTuple(lambda name, content: storage.write_bytes(layout.counts(output, name), content))
    )
    merge_latest = MergeTables(functools.partial(latest_per_key, key=schema.item_id))
    (
        counted[LATEST_ITEMS]
        | "latest" >> beam.CombineGlobally(merge_latest).without_defaults()
        | "save latest" >> beam.Map(lambda content: storage.write_bytes(layout.latest_items(output), content))
    )
    counted[SPLIT_SUMMARY] | "splits" >> GatherJson(layout.summary(output, "splits"), merge_split_summaries)


def merge_split_summaries(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows (and how many become records), means of label and targets, and time range of each split.

    The means of targets are of the rows that have one: `targets` says how many lack it.
    """
    merged: dict[str, Any] = {}
    for name in SPLITS:
        found = [part[name] for part in parts if name in part]
        rows = sum(part["rows"] for part in found)
        merged[name] = {"rows": rows, "records": sum(part["records"] for part in found)}
        if not rows:
            continue
        means = {of: _mean([part["sums"][of] for part in found]) for of in found[0]["sums"]}
        merged[name] |= {
            "label_mean": means.pop(LABEL)[0],
            "first_time_ms": min(part["first_time_ms"] for part in found),
            "last_time_ms": max(part["last_time_ms"] for part in found),
        }
        if means:
            merged[name]["targets"] = {
                of: {"mean": mean, "missing_share": 1 - there / rows} for of, (mean, there) in means.items()
            }
    return merged


def _mean(parts: list[tuple[float, int]]) -> tuple[float | None, int]:
    """Mean of parts given by their sums and sizes, whatever their order, and how many values there are."""
    there = sum(count for _, count in parts)
    return (math.fsum(total for total, _ in parts) / there if there else None), there


def read_counts(output: str, feature: str) -> pa.Table:
    return storage.read_table(layout.counts(output, feature))
