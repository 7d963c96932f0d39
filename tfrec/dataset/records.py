"""TFRecords of a dataset → tensors: parsed in batches, dense, padded with 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.errors import DataError
from tfrec.schema import (
    EVENT_POSITION,
    EVENT_TIME_MS,
    ITEM_INDEX,
    LABEL,
    USER_INDEX,
    CategoricalFeature,
    Feature,
    NumericFeature,
    Schema,
    SequenceFeature,
)

Tensors = dict[str, tf.Tensor]
Arrays = dict[str, np.ndarray]
PARSE_BATCH = 8192


def list_width(feature: Feature) -> int | None:
    """Columns of an encoded feature that has several values; None for a single one."""
    if isinstance(feature, SequenceFeature):
        return feature.length
    if isinstance(feature, CategoricalFeature) and feature.multivalued:
        return feature.max_values
    return None


def encoded_dtype(feature: Feature) -> tf.DType:
    return tf.float32 if isinstance(feature, NumericFeature) and feature.buckets is None else tf.int64


def example_parser(schema: Schema, part: str) -> Callable[[tf.Tensor], Tensors]:
    """A function from serialized Examples [batch] to tensors [batch] or [batch, width].

    Args:
        schema: of the dataset.
        part: "train", "validation" or "test" (events), "users" or "items".

    """
    specs: dict[str, object] = {}
    widths: dict[str, int] = {}
    if part in ("users", "items"):
        features = schema.of_role("user" if part == "users" else "item")
        if part == "users":
            specs[USER_INDEX] = tf.io.FixedLenFeature([], tf.int64)
        for name in {**schema.display} if part == "items" else {}:
            specs[RAW_PREFIX + name] = tf.io.FixedLenFeature([], tf.string, "")
        key = schema.user_id if part == "users" else schema.item_id
        specs[RAW_PREFIX + key] = tf.io.FixedLenFeature([], tf.string)
    else:
        features = dict(schema.features)
        for name in (USER_INDEX, ITEM_INDEX, EVENT_POSITION, EVENT_TIME_MS):
            specs[name] = tf.io.FixedLenFeature([], tf.int64)
        specs[LABEL] = tf.io.FixedLenFeature([], tf.float32)
    for name, feature in features.items():
        if name not in schema.encoded:
            continue
        width = list_width(feature)
        if width is None:
            specs[name] = tf.io.FixedLenFeature([], encoded_dtype(feature))
        else:
            widths[name] = width
            specs[name] = tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)

    def parse(serialized: tf.Tensor) -> Tensors:
        parsed = tf.io.parse_example(serialized, specs)
        return {
            name: value.to_tensor(shape=[None, widths[name]]) if name in widths else value
            for name, value in parsed.items()
        }

    return parse


def record_dataset(files: Sequence[str]) -> tf.data.Dataset:
    """Serialized records of the files, in order."""
    compression = "GZIP" if files and files[0].endswith(".gz") else ""
    return tf.data.TFRecordDataset(list(files), compression_type=compression, buffer_size=1 << 20)


def read_part(dataset: DatasetDirectory, part: str) -> Arrays:
    """Read a whole split, or users or items, into memory.

    Raises:
        DataError: a file is torn or holds other features than the schema says.

    """
    files = dataset.files(part)
    parse = example_parser(dataset.schema, part)
    parts: list[Arrays] = []
    try:
        # An empty batch gives every column its dtype and width, so that an empty split has columns too.
        parts.append({name: value.numpy() for name, value in parse(tf.constant([], tf.string)).items()})
        batches = record_dataset(files).batch(PARSE_BATCH).map(parse, num_parallel_calls=1)
        parts += list(batches.as_numpy_iterator())
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise DataError(f"{dataset.path / part}: records cannot be read: {error.message.splitlines()[0]}") from None
    return {name: np.concatenate([found[name] for found in parts]) for name in parts[0]}
