"""AUC of a user's ranking of the whole catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfrec.metrics.top_k import checked_pairs, not_a_number

_VALUES_AT_ONCE = 1 << 19


def full_ranking_auc(
    scores: Any, seen_rows: NDArray, seen_items: NDArray, relevant_rows: NDArray, relevant_items: NDArray
) -> NDArray[np.float64]:
    """P(a relevant item stands above an irrelevant unseen one) of each user, equal scores counting one half.

    (Σ mid-ranks of the relevant among all unseen − n (n + 1) / 2) / (n · m), with n relevant and m irrelevant unseen
    items (Rendle et al. 2009, §3.1; Mann & Whitney 1947).

    Args:
        scores: of every item; a NumPy array or an eager tensor. float32 [users, items]
        seen_rows: rows of the pairs that are not ranked. int [pairs]
        seen_items: their items. int [pairs]
        relevant_rows: rows of the relevant pairs, all distinct and none of them seen. int [relevant pairs]
        relevant_items: their items. int [relevant pairs]

    Returns:
        float64 [users]; NaN without relevant or without irrelevant items.

    Raises:
        DataError: a score is NaN.
        ValueError: a pair names a row or an item that is not there, or is both relevant and seen.

    """
    values = np.asarray(scores, np.float32)
    rows, excluded = checked_pairs(values.shape, seen_rows, seen_items, "seen")
    found_rows, found = checked_pairs(values.shape, relevant_rows, relevant_items, "relevant")
    users, size = values.shape
    result = np.full(users, np.nan)
    step = max(1, _VALUES_AT_ONCE // max(size, 1))
    for start in range(0, users if size else 0, step):
        part = values[start : start + step].copy()
        if np.isnan(part.max()):
            raise not_a_number(values)
        stop = start + len(part)
        seen, wanted = (slice(*np.searchsorted(of, [start, stop])) for of in (rows, found_rows))
        part[rows[seen] - start, excluded[seen]] = np.nan  # NaN sorts behind everything
        result[start:stop] = _areas(part, found_rows[wanted] - start, found[wanted])
    return result


def _areas(scores: NDArray, rows: NDArray, items: NDArray) -> NDArray[np.float64]:
    """`scores` is NaN where an item is not ranked."""
    of_relevant = scores[rows, items]
    if np.isnan(of_relevant).any():
        raise ValueError("a relevant item is also seen; it is not ranked, so leave it out")
    scores.sort(axis=1)
    users = len(scores)
    unseen = _count(scores, np.arange(users), np.full(users, np.inf, np.float32), up_to_equal=True)
    below = _count(scores, rows, of_relevant, up_to_equal=False)
    not_above = below + 1  # itself
    after = np.minimum(not_above, scores.shape[1] - 1)
    tied = np.flatnonzero(scores[rows, after] == of_relevant)
    not_above[tied] = _count(scores, rows[tied], of_relevant[tied], up_to_equal=True)
    mid_ranks = (below + not_above + 1) / 2
    relevant = np.bincount(rows, minlength=users)
    pairs = relevant * (unseen - relevant)
    above = np.bincount(rows, weights=mid_ranks, minlength=users) - relevant * (relevant + 1) / 2
    return np.where(pairs > 0, above / np.maximum(pairs, 1), np.nan)


def _count(ordered: NDArray, rows: NDArray, values: NDArray, *, up_to_equal: bool) -> NDArray[np.int64]:
    """How many of the row are below each value (or equal to it): a binary search in all rows at once."""
    size = ordered.shape[1]
    flat, first = ordered.ravel(), rows * size
    low, high = np.zeros(len(rows), np.int64), np.full(len(rows), size)
    for _ in range(size.bit_length()):
        middle = (low + high) >> 1
        at = flat[first + np.minimum(middle, size - 1)]
        is_before = ((at <= values) if up_to_equal else (at < values)) & (middle < high)  # NaN is not before
        low, high = np.where(is_before, middle + 1, low), np.where(is_before, high, middle)
    return low
