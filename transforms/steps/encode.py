"""Typed columns → encoded columns, by the feature transform itself; and the joins of users and items."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from tfrec.feature_transform import FeatureTransform
from tfrec.schema import (
    PADDING_ID,
    CategoricalFeature,
    Feature,
    NumericFeature,
    Schema,
    SequenceFeature,
    TextFeature,
    VectorFeature,
    WeightsFeature,
)
from transforms.steps.lists import list_array
from transforms.steps.tokens import for_tokens

ID_TYPE = np.int32  # of ids on their way to the records: half the bytes to move, and no embedding table has 2³¹ rows


def encode_table(transform: FeatureTransform, schema: Schema, table: pa.Table) -> pa.Table:
    """Encode the columns of `table` that are encoded features (sequences are built from events, not encoded here)."""
    columns = {}
    for name in table.column_names:
        feature = schema.encoded.get(name)
        if feature is not None and not isinstance(feature, SequenceFeature):
            columns[name] = _encode_column(transform, name, feature, table.column(name))
    return pa.table(columns)


def _encode_column(transform: FeatureTransform, name: str, feature: Feature, column: pa.ChunkedArray) -> pa.Array:
    values = column.combine_chunks()
    if isinstance(feature, NumericFeature):
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float32)
        return pa.array(transform.encode_values(name, tf.constant(numbers)).numpy())
    if isinstance(feature, TextFeature):
        return _encode_texts(transform, name, values)
    if isinstance(feature, VectorFeature | WeightsFeature):
        width = feature.length if isinstance(feature, VectorFeature) else feature.max_values
        kept = pc.list_slice(values, 0, width)
        flat = kept.flatten().to_numpy(zero_copy_only=False)
        return list_array(_lengths(kept), transform.encode_values(name, tf.constant(flat, tf.float32)).numpy())
    assert isinstance(feature, CategoricalFeature)
    if feature.multivalued:
        kept = pc.list_slice(values, 0, feature.max_values)
        flat = _encode_tokens(transform, name, kept.flatten())
        return list_array(_lengths(kept), flat)
    return pa.array(_encode_tokens(transform, name, values))


def _lengths(lists: pa.Array) -> np.ndarray:
    return lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)


def _encode_texts(transform: FeatureTransform, name: str, texts: pa.Array) -> pa.Array:
    """Lists of the ids of each text's words, without the padding behind them; only distinct texts are divided."""
    dictionary = pc.fill_null(texts.cast(pa.string()), "").dictionary_encode()
    distinct = dictionary.dictionary.to_numpy(zero_copy_only=False)
    ids = transform.encode_values(name, tf.constant(distinct, tf.string, shape=[len(distinct)])).numpy()
    is_word = ids != PADDING_ID
    return list_array(is_word.sum(axis=1), ids[is_word].astype(ID_TYPE)).take(dictionary.indices)


def _encode_tokens(transform: FeatureTransform, name: str, tokens: pa.Array) -> np.ndarray:
    """Only the distinct tokens go through the graph: a column repeats them many times."""

    def encode(distinct: pa.Array) -> np.ndarray:
        values = tf.constant(distinct.to_numpy(zero_copy_only=False), tf.string)
        return transform.encode_values(name, values).numpy().astype(ID_TYPE)

    return for_tokens(pc.fill_null(tokens, "") if tokens.null_count else tokens, encode)


def index_of(tokens: pa.ChunkedArray, catalogue: pa.Array) -> np.ndarray:
    """Int [rows]: where each token stands in the catalogue, which holds every token of the log."""
    found = for_tokens(tokens, lambda t: pc.fill_null(pc.index_in(t, value_set=catalogue), -1).to_numpy())
    if len(found) and found.min() < 0:
        raise AssertionError("an event has a token that the catalogue lacks")
    return found


def join_rows(encoded: pa.Table, index: np.ndarray) -> dict[str, pa.ChunkedArray]:
    """Columns of a user or item table for each event."""
    taken = encoded.take(pa.array(index))
    return {name: taken.column(name) for name in taken.column_names}


def raw_name(feature: str) -> str:
    """Name under which users/ and items/ keep a raw value beside the encoded one."""
    return f"raw/{feature}"
