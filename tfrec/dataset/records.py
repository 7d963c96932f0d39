"""TFRecords of a dataset → tensors: parsed in batches, dense, padded with 0."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import tensorflow as tf

from tfrec.codec.packed import ROW_LENGTHS
from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.files import READ_ERRORS, find_damage, record_dataset
from tfrec.errors import DataError, SchemaError, did_you_mean
from tfrec.schema import (
    EVENT_POSITION,
    EVENT_TIME_MS,
    GAP_SECONDS,
    ITEM_INDEX,
    LABEL,
    USER_INDEX,
    CategoricalFeature,
    Feature,
    NumericFeature,
    Schema,
    SequenceFeature,
    TextFeature,
    VectorFeature,
    WeightsFeature,
)

Tensors = dict[str, tf.Tensor]
Arrays = dict[str, np.ndarray]
PARSE_BATCH = 8192  # rows
_DTYPES = {"int64": tf.int64, "float32": tf.float32, "bytes": tf.string}


def list_width(feature: Feature) -> int | None:
    """Columns of an encoded feature that has several values; None for a single one."""
    if isinstance(feature, SequenceFeature | VectorFeature):
        return feature.length
    if isinstance(feature, WeightsFeature):
        return feature.max_values
    if isinstance(feature, TextFeature):
        return None if feature.tokens is None else feature.tokens.max_tokens
    if isinstance(feature, CategoricalFeature) and feature.multivalued:
        return feature.max_values
    return None


def encoded_dtype(feature: Feature) -> tf.DType:
    if isinstance(feature, SequenceFeature):
        return tf.float32 if feature.of in (LABEL, GAP_SECONDS) else tf.int64
    if isinstance(feature, VectorFeature | WeightsFeature):
        return tf.float32
    return tf.float32 if isinstance(feature, NumericFeature) and feature.buckets is None else tf.int64


def example_parser(
    schema: Schema, part: str, rows_per_record: int = 1, columns: Collection[str] | None = None
) -> Callable[[tf.Tensor], Tensors]:
    """A function from serialized Examples [batch] to tensors [rows] or [rows, width].

    Args:
        schema: of the dataset.
        part: "train", "validation" or "test" (events), "users" or "items".
        rows_per_record: 1, and rows = batch; or more, where `tfrec.codec.pack_rows` wrote the records. The function
            then raises InvalidArgumentError for records whose columns disagree on the number of rows.
        columns: the ones to parse, in this order; None for all. What is not asked for costs next to nothing.

    Raises:
        SchemaError: the records of this part have no such column.

    """
    dtypes, widths = _columns(schema, part)
    if columns is not None:
        for name in columns:
            if name not in dtypes:
                raise SchemaError(f"no column {name!r} in the records of {part}{did_you_mean(name, dtypes)}")
        dtypes = {name: dtypes[name] for name in columns}
        widths = {name: width for name, width in widths.items() if name in dtypes}
    if rows_per_record > 1:
        return _packed_parser(dtypes, widths)
    defaults = {RAW_PREFIX + name: "" for name in schema.display}
    specs: dict[str, object] = {
        name: tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)
        if name in widths
        else tf.io.FixedLenFeature([], dtype, defaults.get(name))
        for name, dtype in dtypes.items()
    }

    @tf.autograph.experimental.do_not_convert  # nothing to translate, which takes a while
    def parse(serialized: tf.Tensor) -> Tensors:
        parsed = tf.io.parse_example(serialized, specs)
        return _dense({name: parsed[name] for name in dtypes}, widths)

    return parse


def _columns(schema: Schema, part: str) -> tuple[dict[str, tf.DType], dict[str, int]]:
    """Type of every column of a part, and the width of those with several values."""
    dtypes: dict[str, tf.DType] = {}
    if part in ("users", "items"):
        features = schema.of_role("user" if part == "users" else "item")
        if part == "users":
            dtypes[USER_INDEX] = tf.int64
        else:
            dtypes |= {RAW_PREFIX + name: tf.string for name in schema.display}
        dtypes[RAW_PREFIX + (schema.user_id if part == "users" else schema.item_id)] = tf.string
    else:
        features = dict(schema.features)
        dtypes |= dict.fromkeys((USER_INDEX, ITEM_INDEX, EVENT_POSITION, EVENT_TIME_MS), tf.int64)
        dtypes[LABEL] = tf.float32
        dtypes |= {name: _DTYPES[kind] for name, kind in schema.extra_fields.items()}
    encoded = {name: feature for name, feature in features.items() if name in schema.encoded}
    dtypes |= {name: encoded_dtype(feature) for name, feature in encoded.items()}
    widths = {name: list_width(feature) for name, feature in encoded.items()}
    return dtypes, {name: width for name, width in widths.items() if width is not None}


def _packed_parser(dtypes: dict[str, tf.DType], widths: dict[str, int]) -> Callable[[tf.Tensor], Tensors]:
    specs: dict[str, object] = {}
    for name, dtype in dtypes.items():
        rows = [tf.io.RaggedFeature.RowLengths(name + ROW_LENGTHS)] if name in widths else []
        specs[name] = tf.io.RaggedFeature(dtype, name, partitions=rows, row_splits_dtype=tf.int64)

    @tf.autograph.experimental.do_not_convert
    def parse(serialized: tf.Tensor) -> Tensors:
        parsed = tf.io.parse_example(serialized, specs)
        rows = parsed[next(iter(dtypes))].row_splits
        checks = [tf.debugging.assert_less(rows[:-1], rows[1:], "a record has no rows")]
        for name, values in parsed.items():
            message = f"{name} has another number of rows than the other columns of its record"
            checks.append(tf.debugging.assert_equal(values.row_splits, rows, message))
        with tf.control_dependencies([check for check in checks if check is not None]):
            return _dense({name: tf.identity(parsed[name].values) for name in dtypes}, widths)

    return parse


def _dense(columns: Tensors, widths: dict[str, int]) -> Tensors:
    return {
        name: values.to_tensor(shape=[None, widths[name]]) if name in widths else values
        for name, values in columns.items()
    }


def read_part(dataset: DatasetDirectory, part: str, columns: Collection[str] | None = None) -> Arrays:
    """Read a whole split, or users or items, into memory.

    Args:
        dataset: where from.
        part: "train", "validation", "test", "users" or "items".
        columns: the ones to read; None for all.

    Raises:
        DataError: a file is torn or holds other features than the schema says.

    """
    files = dataset.files(part)
    rows_per_record = dataset.rows_per_record(part)
    parse = example_parser(dataset.schema, part, rows_per_record, columns)
    records_at_once = max(1, PARSE_BATCH // rows_per_record)
    parts: list[Arrays] = []
    try:
        # An empty batch gives every column its dtype and width, so that an empty split has columns too.
        parts.append({name: value.numpy() for name, value in parse(tf.constant([], tf.string)).items()})
        parts += list(record_dataset(files).batch(records_at_once).map(parse).as_numpy_iterator())
    except READ_ERRORS as error:
        counted = zip(files, dataset.rows_by_file(part), strict=True)
        raise find_damage(list(counted), parse, records_at_once) or error from None
    found = {name: np.concatenate([chunk[name] for chunk in parts]) for name in parts[0]}
    rows = len(next(iter(found.values())))
    if rows != dataset.rows(part):
        raise DataError(
            f"{dataset.path / part}: records hold {rows} rows, the manifest says {dataset.rows(part)}; "
            "copy the dataset again or rerun the transforms"
        )
    return found
