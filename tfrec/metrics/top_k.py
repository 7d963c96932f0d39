"""The best items of each user without the excluded ones: what every ranked list starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tfrec.errors import DataError
from tfrec.metrics.lists import NO_ITEM

_VALUES_AT_ONCE = 1 << 19  # 2 MB of scores: stays in the cache over the passes
_LAST_INDEX = np.int64(0x7FFFFFFF)
_LOWEST = np.finfo(np.float32).min  # anything at or above it is not −inf


def top_unseen(scores: Any, seen_rows: ArrayLike, seen_items: ArrayLike, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k highest scores of each user among the items not seen, best first, equal scores by the lower item index.

    The catalogue is cut into chunks; the k-th highest maximum of a chunk is at most the k-th highest score, so what
    lies below it needs no sorting. A score of −inf means excluded, whoever gave it.

    Args:
        scores: of every item; a NumPy array or an eager tensor, left as it is. float32 [users, items]
        seen_rows: rows of the pairs that are excluded, in any order, repeated or not. int [pairs]
        seen_items: their items. int [pairs]
        k: places of a list; may exceed the catalogue.

    Returns:
        items, int64 [users, k], `NO_ITEM` past the end; their scores, float32 [users, k], −inf past the end.

    Raises:
        DataError: a score is NaN, which has no place in an order.
        ValueError: k is below 1, or a pair names a row or an item that is not there.

    """
    values = np.asarray(scores, dtype=np.float32)
    if k < 1:
        raise ValueError(f"k is {k}; a list has at least 1 place")
    rows, excluded = checked_pairs(values.shape, seen_rows, seen_items, "seen")
    users, size = values.shape
    items, best = np.full((users, k), NO_ITEM, np.int64), np.full((users, k), -np.inf, np.float32)
    if not values.size:
        return items, best
    step = min(users, max(1, _VALUES_AT_ONCE // size))
    buffer = np.empty((step, size), np.float32)  # one for all blocks: fresh memory costs more than the copy
    width = min(k, size)
    for start in range(0, users, step):
        stop = min(start + step, users)
        part = np.add(values[start:stop], np.float32(0), out=buffer[: stop - start])  # −0 becomes 0
        if np.isnan(part.max()):  # max hands NaN on
            raise not_a_number(values)
        pairs = slice(*np.searchsorted(rows, [start, stop]))
        part.ravel()[(rows[pairs] - start) * size + excluded[pairs]] = -np.inf
        items[start:stop, :width], best[start:stop, :width] = _top(part, width)
    return items, best


def not_a_number(values: np.ndarray) -> DataError:
    """The error of scores that hold NaN: what, how many, where first."""
    row, item = np.argwhere(np.isnan(values))[0]
    return DataError(
        f"scores: {int(np.isnan(values).sum()):,} of {values.size:,} are NaN, the first in row {row}, item {item}; "
        "allowed: numbers and infinities; the model has diverged: lower train.learning_rate or clip gradients"
    )


def checked_pairs(
    shape: tuple[int, ...], rows: ArrayLike, items: ArrayLike, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of (row, item) in ascending order of rows. Raises ValueError if one is outside [users, items]."""
    rows, items = np.asarray(rows, np.int64), np.asarray(items, np.int64)
    for name, given, size in (("row", rows, shape[0]), ("item", items, shape[1])):
        if given.size and not (given.min() >= 0 and given.max() < size):
            raise ValueError(f"{what} pairs name {name} {given.min()}…{given.max()}; there are {size}, counted from 0")
    if len(rows) > 1 and (rows[1:] < rows[:-1]).any():
        order = np.argsort(rows, kind="stable")
        return rows[order], items[order]
    return rows, items


def _top(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Items and scores, sorted; `scores` without NaN and −0, k at most the catalogue."""
    users, size = scores.shape
    bound = _lower_bound(scores, k)
    at = np.flatnonzero(scores >= bound[:, None])
    if len(at) > 4 * k * users:  # many scores equal the bound, such as the zeros of item-kNN
        at = _without_later_ties(scores, at, bound, k)
    rows, columns = np.divmod(at, size)
    counts = np.bincount(rows, minlength=users)
    ends = np.cumsum(counts)
    keys = np.full((users, max(k, int(counts.max(initial=0)))), np.iinfo(np.int64).min)
    keys[rows, np.arange(len(at)) - (ends - counts)[rows]] = _keys(scores.ravel()[at], columns)
    keys.sort(axis=1)
    best = keys[:, : -k - 1 : -1]
    is_there = best != np.iinfo(np.int64).min
    items = np.where(is_there, _LAST_INDEX - (best & _LAST_INDEX), NO_ITEM)
    found = np.take_along_axis(scores, np.maximum(items, 0), axis=1)
    return items, np.where(is_there, found, np.float32(-np.inf))


def _lower_bound(scores: np.ndarray, k: int) -> np.ndarray:
    """A number at or below each user's k-th highest score, and above −inf. [users]"""
    users, size = scores.shape
    length = min(max(1, size // (4 * k)), 64)  # measured fastest on 1,682 and on 50,000 items
    chunks = size // length
    maxima = scores[:, : chunks * length].reshape(users, length, chunks).max(axis=1)
    if chunks < k:
        return np.full(users, _LOWEST)
    maxima.partition(chunks - k, axis=1)
    return np.maximum(maxima[:, chunks - k], _LOWEST)


def _without_later_ties(scores: np.ndarray, at: np.ndarray, bound: np.ndarray, k: int) -> np.ndarray:
    """Without what equals its user's bound and has k others of a lower index before it: it cannot be listed."""
    rows = at // scores.shape[1]
    is_tied = scores.ravel()[at] == bound[rows]
    tied = np.cumsum(is_tied)
    starts = np.searchsorted(rows, np.arange(len(scores)))
    before = np.concatenate([[0], tied])[starts]
    return at[~is_tied | (tied - before[rows] <= k)]


def _keys(scores: np.ndarray, items: np.ndarray) -> np.ndarray:
    """int64 whose order is that of the scores, then of the items, the lower first: all distinct, so any sort will do.

    The bits of a float32, read as an integer, are ordered as the float is; those of negative ones run backwards.
    """
    bits = scores.view(np.int32)
    ordered = bits ^ ((bits >> 31) & np.int32(_LAST_INDEX))
    return (ordered.astype(np.int64) << 32) | (_LAST_INDEX - items)
