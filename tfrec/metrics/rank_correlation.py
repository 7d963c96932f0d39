"""Whether predicted values stand in the order of the true ones: over all rows, or within each user."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfrec.metrics.grouped import GroupedMetric, checked_values, sums_by_group

Floats = NDArray[np.float64]


def spearman(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Pearson's correlation of the mid-ranks (Spearman 1904). NaN where one side is constant."""
    return _alone(spearman_by_group(labels, predictions, np.zeros(len(np.asarray(labels)), np.int64)))


def kendall(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Kendall's tau-b: (C − D) / sqrt((n₀ − n₁)(n₀ − n₂)), NaN where one side is constant.

    C and D are the pairs in the same and in opposite order, n₀ all pairs, n₁ and n₂ those tied on one side
    (Kendall 1945). n log n (Knight 1966).
    """
    return _alone(kendall_by_group(labels, predictions, np.zeros(len(np.asarray(labels)), np.int64)))


def spearman_by_group(labels: ArrayLike, predictions: ArrayLike, groups: ArrayLike) -> GroupedMetric:
    """Spearman's correlation within each group, such as each user; NaN where one side is constant."""
    distinct, group = np.unique(np.asarray(groups), return_inverse=True)
    one = _centred_mid_ranks(checked_values("labels", labels), group)
    other = _centred_mid_ranks(checked_values("predictions", predictions), group)
    size = len(distinct)
    both, ones, others = (sums_by_group(a * b, group, size) for a, b in ((one, other), (one, one), (other, other)))
    return GroupedMetric(distinct, _quotient(both, ones, others), np.ones(size))


def kendall_by_group(labels: ArrayLike, predictions: ArrayLike, groups: ArrayLike) -> GroupedMetric:
    """Kendall's tau-b within each group, such as each user; NaN where one side is constant."""
    one, other = checked_values("labels", labels), checked_values("predictions", predictions)
    distinct, group = np.unique(np.asarray(groups), return_inverse=True)
    order = np.lexsort((other, one, group))
    group, one, other = group[order], one[order], other[order]
    in_order = np.lexsort((other, group))  # ranks by group, then value: no pair across groups is reversed
    ranks = np.empty(len(group), np.int64)
    ranks[in_order] = np.cumsum(_is_new(group[in_order], other[in_order])) - 1
    size = len(distinct)
    reversed_pairs = sums_by_group(_reversed_before(ranks), group, size)
    whole = _pairs(np.bincount(group, minlength=size))
    tied_one = _tied_pairs(group, _is_new(group, one), size)
    tied_other = _tied_pairs(group[in_order], _is_new(group[in_order], other[in_order]), size)
    tied_both = _tied_pairs(group, _is_new(group, one, other), size)
    agreement = whole - tied_one - tied_other + tied_both - 2 * reversed_pairs
    return GroupedMetric(distinct, _quotient(agreement, whole - tied_one, whole - tied_other), np.ones(size))


def _centred_mid_ranks(values: Floats, group: NDArray[np.int64]) -> Floats:
    """Mid-rank within the group − its mean. [rows]"""
    order = np.lexsort((values, group))
    run = np.cumsum(_is_new(group[order], values[order])) - 1
    counts = np.bincount(run)
    middles = np.cumsum(counts) - (counts - 1) / 2  # ranks over all rows, by group
    sizes = np.bincount(group)
    result = np.empty(len(values))
    result[order] = middles[run] - (np.cumsum(sizes) - (sizes - 1) / 2)[group[order]]
    return result


def _reversed_before(ranks: NDArray[np.int64]) -> Floats:
    """How many earlier rows have a higher rank, for each row.

    Two numbers differ first at one bit. From the highest bit on, rows with the same higher bits stand together in their
    old order; a 0 there is reversed with each 1 before it. (A merge sort's count, all merges of a level at once.)
    """
    counts = np.zeros(len(ranks))
    rows = np.arange(len(ranks))
    for bit in range(int(ranks.max(initial=0)).bit_length() - 1, -1, -1):
        values = ranks[rows]
        prefix, is_one = values >> (bit + 1), (values >> bit) & 1
        ones = np.cumsum(is_one)
        starts = np.flatnonzero(_is_new(prefix))
        block = np.cumsum(_is_new(prefix)) - 1
        before = ones - (ones[starts] - is_one[starts])[block]  # ones up to here in the block
        counts[rows] += np.where(is_one == 0, before, 0)
        sizes = np.diff(np.append(starts, len(rows)))
        zeros = sizes - np.add.reduceat(is_one, starts)
        place = np.where(is_one == 1, zeros[block] + before - 1, np.arange(len(rows)) - starts[block] - before)
        moved = np.empty_like(rows)
        moved[starts[block] + place] = rows
        rows = moved
    return counts


def _is_new(*columns: NDArray) -> NDArray[np.bool_]:
    """Whether a row differs from the one before in any column; the first does."""
    result = np.ones(len(columns[0]), bool)
    result[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return result


def _tied_pairs(group: NDArray[np.int64], is_new: NDArray[np.bool_], groups: int) -> Floats:
    """Pairs of rows in the same run, of each group."""
    run = np.cumsum(is_new) - 1
    return sums_by_group(_pairs(np.bincount(run)), group[is_new], groups)


def _pairs(counts: NDArray) -> Floats:
    return counts.astype(np.float64) * (counts - 1) / 2


def _quotient(above: Floats, one: Floats, other: Floats) -> Floats:
    """Above / sqrt(one · other), NaN where that is 0."""
    below = np.sqrt(one) * np.sqrt(other)
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def _alone(found: GroupedMetric) -> float:
    return float(found.values[0]) if len(found.values) else float("nan")
