"""The largest values of each row, without a loop over rows; ties go to the lower column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

COLUMN_BITS = 32


def largest_of_rows(block: sparse.csr_array, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The `width` largest positive values of each row of a sparse matrix.

    Returns:
        Columns int32 and values float32 [rows, width], largest first; where a row has fewer, column 0 and value 0.

    """
    counts = np.diff(block.indptr)
    places = np.arange(max(int(counts.max(initial=0)), width))
    is_there = places < counts[:, None]
    keys = np.zeros(is_there.shape, np.int64)
    keys[is_there] = _keys(np.maximum(block.data, 0), block.indices)
    columns, values = _largest(keys, width)
    return np.where(values > 0, columns, 0), values


def largest_columns(magnitudes: np.ndarray, width: int) -> np.ndarray:
    """int32 [rows, width]: columns of the largest values of each row of a dense matrix, all at least 0."""
    keys = _keys(magnitudes, np.arange(magnitudes.shape[1]))
    return _largest(keys, width)[0]


def blocks_of_like_length(lengths: np.ndarray, width: int, values: int) -> Iterator[np.ndarray]:
    """Numbers of rows, the longest first: a block takes the room of its longest row times its rows.

    Args:
        lengths: entries of each row. int [rows]
        width: room that each row takes at least.
        values: room of a block, where it has more than one row.

    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), width)
        rows = order[start : start + max(values // longest, 1)]
        start += len(rows)
        yield rows


def _keys(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Integers in the order of (value, −column): the bits of a float32 of at least 0 rise with it."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32).astype(np.int64)
    return (bits << COLUMN_BITS) | ((1 << COLUMN_BITS) - 1 - columns.astype(np.int64))


def _largest(keys: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns int32 and values float32 [rows, width] behind the largest keys of each row, which are overwritten."""
    if width < keys.shape[1]:
        keys.partition(keys.shape[1] - width, axis=1)
    best = np.sort(keys[:, keys.shape[1] - width :], axis=1)[:, ::-1]
    columns = (1 << COLUMN_BITS) - 1 - (best & ((1 << COLUMN_BITS) - 1))
    values = (best >> COLUMN_BITS).astype(np.int32).view(np.float32)
    return columns.astype(np.int32), values
