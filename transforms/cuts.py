"""Where a temporal split cuts: found in coarse counts first, then exactly among the single times near the cuts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np

from tfrec.schema import EVENT_TIME_MS, Temporal
from transforms import layout
from transforms.gather import GatherJson
from transforms.partitions import Partitions
from transforms.steps.split import COARSE_BITS


class CountTimes(beam.DoFn):
    """Partition number → distinct times in the given buckets, with their events."""

    def __init__(self, partitions: Partitions, buckets: set[int]) -> None:
        self._partitions = partitions
        self._buckets = np.array(sorted(buckets))

    def process(self, partition: int) -> Iterator[list[list[int]]]:
        times = self._partitions.read(partition).column(EVENT_TIME_MS).to_numpy()
        times = times[np.isin(times >> COARSE_BITS, self._buckets)]
        distinct, counts = np.unique(times, return_counts=True)
        yield [distinct.tolist(), counts.tolist()]


def build_count_times(pipeline: beam.Pipeline, partitions: Partitions, buckets: set[int]) -> None:
    """Write the summary `fine_times`: [time in ms, events] of all distinct times in `buckets`."""
    assert isinstance(partitions.schema.split, Temporal)
    (
        pipeline
        | "partitions" >> beam.Create(partitions.numbers)
        | "spread" >> beam.Reshuffle()
        | "times" >> beam.ParDo(CountTimes(partitions, buckets))
        | "save" >> GatherJson(layout.summary(partitions.output, "fine_times"), _merge)
    )


def _merge(parts: list[Any]) -> list[tuple[int, int]]:
    merged: dict[int, int] = {}
    for times, counts in parts:
        for time, count in zip(times, counts, strict=True):
            merged[time] = merged.get(time, 0) + count
    return sorted(merged.items())
