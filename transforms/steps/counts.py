"""How often each value occurs: the raw material of vocabularies, moments and quantiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from tfrec.feature_transform.tokens import tokenize
from tfrec.schema import Feature, TextFeature, VectorFeature, WeightsFeature

VALUE, TRAIN_COUNT, COUNT = "value", "train_count", "count"
GIVEN = "given"  # stands for any vector or weights: of these only is counted how often they are missing


def count_values(column: pa.ChunkedArray, train_weight: np.ndarray, weight: np.ndarray) -> pa.Table:
    """Distinct values of a column with their weight in the training split and in all.

    Args:
        column: strings, plain or as a dictionary, floats (NaN is missing) or lists of strings. [rows]
        train_weight: int64 [rows], 0 for rows outside the training split.
        weight: int64 [rows].

    Returns:
        `value`, `train_count`, `count`. An empty string and NaN are values too: the missing ones; an empty list counts
        as one empty string.

    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(values.type):
        lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        is_empty = lengths == 0
        train_weight = np.concatenate([np.repeat(train_weight, lengths), train_weight[is_empty]])
        weight = np.concatenate([np.repeat(weight, lengths), weight[is_empty]])
        missing = pa.array([""] * int(is_empty.sum()), values.type.value_type)
        values = pa.concat_arrays([values.flatten(), missing])
    if pa.types.is_dictionary(values.type):
        return _count_dictionary(values, train_weight, weight)
    table = pa.table({VALUE: values, TRAIN_COUNT: train_weight.astype(np.int64), COUNT: weight.astype(np.int64)})
    return merge_counts([table])


def _count_dictionary(values: pa.DictionaryArray, train_weight: np.ndarray, weight: np.ndarray) -> pa.Table:
    codes, size = values.indices.to_numpy(), len(values.dictionary)
    occurs = pa.array(np.bincount(codes, minlength=size) > 0)
    sums = [np.bincount(codes, weights=w, minlength=size).astype(np.int64) for w in (train_weight, weight)]
    table = pa.table({VALUE: values.dictionary, TRAIN_COUNT: sums[0], COUNT: sums[1]})
    return table.filter(occurs).sort_by(VALUE).combine_chunks()


def count_feature(feature: Feature, column: pa.ChunkedArray, train_weight: np.ndarray, weight: np.ndarray) -> pa.Table:
    """`count_values` of what is encoded: of a text with tokens its words, where those of an empty one are one "".

    Of vectors and weights it counts "" where a row has none, and `GIVEN`.
    """
    if isinstance(feature, VectorFeature | WeightsFeature):
        column = pa.chunked_array([pa.array(np.where(_has_numbers(column), GIVEN, ""), pa.string())])
    counts = count_values(column, train_weight, weight)
    if not isinstance(feature, TextFeature) or feature.tokens is None:
        return counts
    texts = pc.fill_null(counts.column(VALUE).cast(pa.string()), "").to_numpy()
    words = tokenize(tf.constant(texts, tf.string, shape=[len(texts)]), feature.tokens.max_tokens)
    flat = pa.array(words.flat_values.numpy(), pa.binary()).cast(pa.string())
    lists = pa.ListArray.from_arrays(pa.array(words.row_splits.numpy(), pa.int32()), flat)
    return count_values(lists, *(counts.column(name).to_numpy() for name in (TRAIN_COUNT, COUNT)))


def _has_numbers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Bool [rows]: whether a list holds any number; NaN is none."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    parents = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
    is_number = ~np.isnan(values.flatten().to_numpy(zero_copy_only=False))
    return np.bincount(parents[is_number], minlength=len(values)) > 0


def merge_counts(tables: Iterable[pa.Table]) -> pa.Table:
    """Add up counts of the same value; the result is sorted by value, so it does not depend on the order."""
    whole = pa.concat_tables(list(tables))
    merged = whole.group_by(VALUE).aggregate([(TRAIN_COUNT, "sum"), (COUNT, "sum")])
    merged = merged.rename_columns([VALUE, TRAIN_COUNT, COUNT])
    return merged.sort_by(VALUE).combine_chunks()


def by_frequency(counts: pa.Table) -> pa.Table:
    """Most frequent in training first, ties by value; values without a training count last, by value."""
    return counts.sort_by([(TRAIN_COUNT, "descending"), (VALUE, "ascending")]).combine_chunks()


def vocabulary(counts: pa.Table, min_count: int, max_size: int | None, default: str) -> pa.Table:
    """The tokens (`value`, `train_count`) that get an id of their own: a prefix of `by_frequency`."""
    if default:
        values = pc.if_else(pc.equal(counts.column(VALUE), ""), default, counts.column(VALUE))
        counts = merge_counts([counts.set_column(0, VALUE, values)])
    keep = pc.and_(pc.not_equal(counts.column(VALUE), ""), pc.greater_equal(counts.column(TRAIN_COUNT), min_count))
    return by_frequency(counts.filter(keep)).slice(0, max_size).select([VALUE, TRAIN_COUNT])


def continued(known: pa.Array, found: pa.Table, min_count: int, max_size: int | None) -> pa.Table:
    """A vocabulary that goes on from an earlier one: its tokens keep their place, new ones follow.

    Args:
        known: tokens of the earlier vocabulary.
        found: all tokens of this run's training split with their counts, most frequent first.
        min_count: of a new token in this run.
        max_size: of the whole; tokens that are known stay in any case.

    Returns:
        `value`, and `train_count` of this run alone.

    """
    at = pc.index_in(known, value_set=found.column(VALUE).combine_chunks())
    again = pc.fill_null(found.column(TRAIN_COUNT).combine_chunks().take(at), 0)
    is_new = pc.invert(pc.is_in(found.column(VALUE), value_set=known))
    new = found.filter(pc.and_(is_new, pc.greater_equal(found.column(TRAIN_COUNT), min_count)))
    if max_size is not None:
        new = new.slice(0, max(0, max_size - len(known)))
    return pa.concat_tables([pa.table({VALUE: known, TRAIN_COUNT: again}), new]).combine_chunks()


def distinct_in_order(columns: Iterable[pa.Array | pa.ChunkedArray]) -> pa.Array:
    """The strings of several columns, each once, where it first stands."""
    arrays = [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns]
    whole = pa.concat_arrays([array.cast(pa.string()) for array in arrays])
    return whole.dictionary_encode().dictionary


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """For each share q the smallest value v with weight(≤ v) ≥ q · total. `values` ascending, without NaN."""
    cumulative = np.cumsum(weights)
    positions = np.searchsorted(cumulative, np.asarray(shares) * cumulative[-1], side="left")
    return values[np.minimum(positions, len(values) - 1)]
