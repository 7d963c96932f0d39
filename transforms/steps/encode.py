"""Typed columns → encoded columns, by the feature transform itself; and the joins and histories of the records."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from tfrec.feature_transform import FeatureTransform
from tfrec.schema import (
    EVENT_POSITION,
    EVENT_TIME_MS,
    ITEM_INDEX,
    LABEL,
    USER_INDEX,
    CategoricalFeature,
    NumericFeature,
    Schema,
    SequenceFeature,
)
from transforms.steps.order import USER_START

HISTORY_TYPE = pa.int32()


def encode_table(transform: FeatureTransform, schema: Schema, table: pa.Table) -> pa.Table:
    """Encode the columns of `table` that are encoded features (sequences are built from events, not encoded here)."""
    columns = {}
    for name in table.column_names:
        feature = schema.encoded.get(name)
        if isinstance(feature, CategoricalFeature | NumericFeature):
            columns[name] = _encode_column(transform, name, feature, table.column(name))
    return pa.table(columns)


def _encode_column(
    transform: FeatureTransform,
    name: str,
    feature: CategoricalFeature | NumericFeature,
    column: pa.ChunkedArray,
) -> pa.Array:
    values = column.combine_chunks()
    if isinstance(feature, NumericFeature):
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float32)
        return pa.array(transform.encode_values(name, tf.constant(numbers)).numpy())
    if feature.multivalued:
        kept = pc.list_slice(values, 0, feature.max_values)
        flat = _encode_tokens(transform, name, kept.flatten())
        lengths = kept.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        return _list_array(lengths, flat)
    return pa.array(_encode_tokens(transform, name, values))


def _encode_tokens(transform: FeatureTransform, name: str, tokens: pa.Array) -> np.ndarray:
    """Only the distinct tokens go through the graph: a column repeats them many times."""
    dictionary = pc.fill_null(tokens, "").dictionary_encode()
    distinct = dictionary.dictionary.to_numpy(zero_copy_only=False)
    if len(distinct) == 0:
        return np.zeros(0, np.int64)
    encoded = transform.encode_values(name, tf.constant(distinct, tf.string)).numpy()
    return encoded[dictionary.indices.to_numpy()]


def index_of(tokens: pa.ChunkedArray, catalogue: pa.Array) -> np.ndarray:
    """int64 [rows]: where each token stands in the catalogue, which holds every token of the log."""
    dictionary = tokens.combine_chunks().dictionary_encode()
    positions = pc.index_in(dictionary.dictionary, value_set=catalogue)
    if positions.null_count:
        raise AssertionError("an event has a token that the catalogue lacks")
    return positions.to_numpy()[dictionary.indices.to_numpy()].astype(np.int64)


def join_rows(encoded: pa.Table, index: np.ndarray) -> dict[str, pa.ChunkedArray]:
    """Columns of a user or item table for each event."""
    taken = encoded.take(pa.array(index))
    return {name: taken.column(name) for name in taken.column_names}


def history_before(item_ids: np.ndarray, user_start: np.ndarray, position: np.ndarray, length: int) -> pa.Array:
    """list<int32> [rows]: encoded ids of the user's last `length` items before each row, oldest first.

    Rows are ordered by user and time, so row r's history is the slice [r − min(position, length), r): nothing at or
    after the event can be in it.
    """
    rows = user_start + position
    counts = np.minimum(position, length)
    return _slices(item_ids, rows - counts, counts)


def latest_history(item_ids: np.ndarray, last_rows: np.ndarray, position: np.ndarray, length: int) -> pa.Array:
    """list<int32>: the last `length` items up to and including each of `last_rows`."""
    counts = np.minimum(position + 1, length)
    return _slices(item_ids, last_rows + 1 - counts, counts)


def _slices(values: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> pa.Array:
    ends = np.cumsum(counts)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
    # Histories are most of what the pipeline holds in memory, and no vocabulary comes near 2³¹ items.
    return _list_array(counts, values.astype(np.int32)[np.repeat(starts, counts) + within])


def _list_array(lengths: np.ndarray, flat: np.ndarray) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))


def encode_events(
    events: pa.Table, schema: Schema, transform: FeatureTransform, users: pa.Table, items: pa.Table
) -> pa.Table:
    """Records of one ordered partition: reserved columns and every encoded feature.

    Args:
        events: from `order_events`.
        schema: of the dataset.
        transform: its feature transform.
        users: `raw/<user id>` and the encoded features of the users table, by user index.
        items: likewise by item index.

    """
    user_index = index_of(events.column(schema.user_id), users.column(raw_name(schema.user_id)).combine_chunks())
    item_index = index_of(events.column(schema.item_id), items.column(raw_name(schema.item_id)).combine_chunks())
    columns: dict[str, pa.Array] = {
        USER_INDEX: pa.array(user_index),
        ITEM_INDEX: pa.array(item_index),
        EVENT_POSITION: events.column(EVENT_POSITION),
        EVENT_TIME_MS: events.column(EVENT_TIME_MS),
        LABEL: events.column(LABEL),
    }
    own = encode_table(transform, schema, events)
    columns |= {name: own.column(name) for name in own.column_names}
    for side, index in ((users, user_index), (items, item_index)):
        wanted = [n for n in side.column_names if n in schema.encoded and n not in columns]
        columns |= join_rows(side.select(wanted), index)
    item_ids = own.column(schema.item_id).to_numpy()
    position, start = events.column(EVENT_POSITION).to_numpy(), events.column(USER_START).to_numpy()
    for name, feature in schema.features.items():
        if isinstance(feature, SequenceFeature):
            columns[name] = history_before(item_ids, start, position, feature.length)
    return pa.table(columns)


def encode_latest_users(events: pa.Table, records: pa.Table, schema: Schema) -> pa.Table:
    """One row per user of the partition: `user_index`, encoded user features as of the last event, its history."""
    position, start = events.column(EVENT_POSITION).to_numpy(), events.column(USER_START).to_numpy()
    last = np.flatnonzero(np.append(np.diff(start) != 0, True)) if len(start) else np.zeros(0, np.int64)
    item_ids = records.column(schema.item_id).to_numpy()
    rows = records.take(pa.array(last))
    columns = {USER_INDEX: rows.column(USER_INDEX)}
    for name, feature in schema.of_role("user").items():
        if isinstance(feature, SequenceFeature):
            columns[name] = latest_history(item_ids, last, position[last], feature.length)
        elif name in rows.column_names:
            columns[name] = rows.column(name)
    return pa.table(columns)


def raw_name(feature: str) -> str:
    """Name under which users/ and items/ keep a raw value beside the encoded one."""
    return f"raw/{feature}"
