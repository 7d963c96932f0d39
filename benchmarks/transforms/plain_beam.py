"""The same dataset from a Beam pipeline as one usually writes it: an object per row, side inputs, tf.train.Example.

Vocabularies and moments come from the training rows; ids are 0 for missing, 1 for unknown, then the vocabulary by
frequency. The times of the split are given as arguments, as one does with dates. `Reshuffle` is what pipelines
usually trust to shuffle; the DirectRunner keeps the order of the rows through it.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import tensorflow as tf
from apache_beam.io.filesystem import CompressionTypes

VOCABULARIES = ("user_id", "item_id", "device", "country")
SPLITS = ("train", "validation", "test")
UNKNOWN_ID, FIRST_TOKEN_ID = 1, 2
MAX_VOCABULARY = 2_000_000

Ids = dict[str, int]


class Row(NamedTuple):
    """One line of the log."""

    user_id: str
    item_id: str
    device: str
    country: str
    price: float
    rating: float
    timestamp: int


def parse_line(line: str) -> Row:
    user, item, device, country, price, rating, timestamp = next(csv.reader([line]))
    return Row(user, item, device, country, float(price), float(rating), int(timestamp))


class Moments(beam.CombineFn):
    """Mean and standard deviation."""

    def create_accumulator(self) -> tuple[int, float, float]:
        return 0, 0.0, 0.0

    def add_input(self, accumulator: tuple[int, float, float], element: float) -> tuple[int, float, float]:
        count, total, squares = accumulator
        return count + 1, total + element, squares + element * element

    def merge_accumulators(self, accumulators: Iterable[tuple[int, float, float]]) -> tuple[int, float, float]:
        counts, totals, squares = zip(*accumulators, strict=True)
        return sum(counts), sum(totals), sum(squares)

    def extract_output(self, accumulator: tuple[int, float, float]) -> tuple[float, float]:
        count, total, squares = accumulator
        mean = total / max(count, 1)
        return mean, (squares / max(count, 1) - mean * mean) ** 0.5 or 1.0


def with_history(element: tuple[str, Iterable[Row]], length: int) -> Iterator[tuple[Row, list[str]]]:
    """Each row of a user with the items before it, oldest first."""
    rows = sorted(element[1], key=lambda row: row.timestamp)
    items = [row.item_id for row in rows]
    for position, row in enumerate(rows):
        yield row, items[max(0, position - length) : position]


class ToExample(beam.DoFn):
    """(row, history) → serialized tf.train.Example."""

    def __init__(self, *, has_history: bool) -> None:
        self._has_history = has_history

    def process(
        self,
        element: tuple[Row, list[str]],
        moments: tuple[float, float],
        user_id: Ids,
        item_id: Ids,
        device: Ids,
        country: Ids,
    ) -> Iterator[bytes]:
        row, history = element
        mean, deviation = moments
        features = {
            "user_id": _int64([user_id.get(row.user_id, UNKNOWN_ID)]),
            "item_id": _int64([item_id.get(row.item_id, UNKNOWN_ID)]),
            "device": _int64([device.get(row.device, UNKNOWN_ID)]),
            "country": _int64([country.get(row.country, UNKNOWN_ID)]),
            "price": _float([(row.price - mean) / deviation]),
            "label": _float([row.rating]),
            "event_time_ms": _int64([row.timestamp * 1000]),
        }
        if self._has_history:
            features["history"] = _int64([item_id.get(item, UNKNOWN_ID) for item in history])
        yield tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _int64(values: list[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _float(values: list[float]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def build(pipeline: beam.Pipeline, chosen: argparse.Namespace) -> None:
    """Add the whole pipeline."""
    cuts = (chosen.validation_from, chosen.test_from)

    def split_of(row: Row) -> int:
        return sum(row.timestamp >= cut for cut in cuts)

    rows = pipeline | beam.io.ReadFromText(chosen.log, skip_header_lines=1) | "parse" >> beam.Map(parse_line)
    train = rows | "training rows" >> beam.Filter(lambda row: split_of(row) == 0)
    sides = {name: vocabulary(train, name, chosen.output) for name in VOCABULARIES}
    moments = train | "prices" >> beam.Map(lambda row: row.price) | beam.CombineGlobally(Moments())
    if chosen.history:
        events = (
            rows
            | "by user" >> beam.Map(lambda row: (row.user_id, row))
            | beam.GroupByKey()
            | "history" >> beam.FlatMap(with_history, chosen.history)
        )
    else:
        events = rows | "no history" >> beam.Map(lambda row: (row, []))
    split = events | "split" >> beam.Partition(lambda event, _: split_of(event[0]), len(SPLITS))
    for name, part in zip(SPLITS, split, strict=True):
        (
            part
            | f"{name}: encode"
            >> beam.ParDo(
                ToExample(has_history=chosen.history > 0),
                beam.pvalue.AsSingleton(moments),
                **{feature: beam.pvalue.AsSingleton(ids) for feature, ids in sides.items()},
            )
            | f"{name}: shuffle" >> beam.Reshuffle()
            | f"{name}: write"
            >> beam.io.WriteToTFRecord(
                f"{chosen.output}/{name}/part",
                file_name_suffix=".tfrecord.gz" if chosen.compression == "gzip" else ".tfrecord",
                num_shards=chosen.shards if name == "train" else 1,
                compression_type=CompressionTypes.GZIP
                if chosen.compression == "gzip"
                else CompressionTypes.UNCOMPRESSED,
            )
        )


def vocabulary(train: beam.PCollection, name: str, output: str) -> beam.PCollection:
    """One dict token → id, the most frequent token first; also written as a text file."""
    ranked = (
        train
        | f"{name}: values" >> beam.Map(lambda row: getattr(row, name))
        | f"{name}: count" >> beam.combiners.Count.PerElement()
        | f"{name}: top" >> beam.combiners.Top.Of(MAX_VOCABULARY, key=lambda pair: (pair[1], pair[0]))
    )
    (
        ranked
        | f"{name}: lines" >> beam.Map(lambda pairs: "\n".join(token for token, _ in pairs))
        | f"{name}: save" >> beam.io.WriteToText(f"{output}/vocabulary/{name}.txt", shard_name_template="")
    )
    return ranked | f"{name}: ids" >> beam.Map(_numbered)


def _numbered(pairs: list[tuple[str, int]]) -> dict[str, Any]:
    return {token: number for number, (token, _) in enumerate(pairs, FIRST_TOKEN_ID)}


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--log", required=True)
    flags.add_argument("--output", required=True)
    flags.add_argument("--validation-from", type=int, required=True, help="Unix seconds")
    flags.add_argument("--test-from", type=int, required=True, help="Unix seconds")
    flags.add_argument("--history", type=int, default=0)
    flags.add_argument("--shards", type=int, default=1, help="files of the training split")
    flags.add_argument("--compression", choices=("none", "gzip"), default="none")
    flags.add_argument("--runner", default="DirectRunner")
    arguments = flags.parse_args()
    with beam.Pipeline(argv=[f"--runner={arguments.runner}"]) as whole:
        build(whole, arguments)
