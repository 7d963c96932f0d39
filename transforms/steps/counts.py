"""How often each value occurs: the raw material of vocabularies, moments and quantiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

VALUE, TRAIN_COUNT, COUNT = "value", "train_count", "count"


def count_values(column: pa.ChunkedArray, train_weight: np.ndarray, weight: np.ndarray) -> pa.Table:
    """Distinct values of a column with their weight in the training split and in all.

    Args:
        column: strings, floats (NaN is missing) or lists of strings. [rows]
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
    table = pa.table({VALUE: values, TRAIN_COUNT: train_weight.astype(np.int64), COUNT: weight.astype(np.int64)})
    return merge_counts([table])


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


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """For each share q the smallest value v with weight(≤ v) ≥ q · total. `values` ascending, without NaN."""
    cumulative = np.cumsum(weights)
    positions = np.searchsorted(cumulative, np.asarray(shares) * cumulative[-1], side="left")
    return values[np.minimum(positions, len(values) - 1)]
