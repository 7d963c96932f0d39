"""How well rows are ordered within their request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfrec.metrics.grouped import GroupedMetric, checked_values, sums_by_group


def ndcg_by_group(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, ks: Sequence[int]
) -> dict[int, GroupedMetric]:
    """NDCG of each group's rows, the highest scores first, at several cuts: k → one value per group.

    Σ_{r ≤ k} y_r / log₂(r + 1) over the same sum in the best order, with r the rank from 1 and gains as they are
    (Järvelin & Kekäläinen 2002). Rows of equal scores share their places: each counts the mean over all orders of them
    (McSherry & Najork 2008), so that the order of the log does not matter. Groups without a label above 0 are NaN; all
    others weigh alike in the mean.

    Args:
        labels: gains, 0 or more. [rows]
        scores: higher stands first. [rows]
        groups: of each row, usually the request. [rows]
        ks: cuts, at least 1 each.

    Raises:
        ValueError: a label is negative or NaN, or a k below 1.

    """
    gains, scores = np.asarray(labels, np.float64), checked_values("scores", scores)
    if not (gains >= 0).all():
        raise ValueError(f"a label is {gains[~(gains >= 0)][0]}; gains are 0 or more")
    if ks and min(ks) < 1:
        raise ValueError(f"k is {min(ks)}; a cut is at 1 or later")
    distinct, group = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(group, minlength=len(distinct))
    rank = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # from 0, in groups one after the other
    found, ideal = (_in_order(gains, values, group) for values in (scores, gains))
    result = {}
    for k in ks:
        discounts = np.where(rank < k, 1 / np.log2(rank + 2.0), 0.0)
        dcg, best = (
            sums_by_group(shared * discounts, np.repeat(np.arange(len(distinct)), sizes), len(distinct))
            for shared in (found, ideal)
        )
        values = np.where(best > 0, dcg / np.where(best > 0, best, 1.0), np.nan)
        result[k] = GroupedMetric(distinct, values, np.ones(len(distinct)))
    return result


def _in_order(gains: NDArray, scores: NDArray, group: NDArray) -> NDArray[np.float64]:
    """Gains by group and falling score, those of equal scores replaced by their mean. [rows]"""
    if not len(gains):
        return gains
    order = np.lexsort((-scores, group))
    is_new = np.ones(len(order), bool)
    is_new[1:] = (np.diff(scores[order]) != 0) | (np.diff(group[order]) != 0)
    run = np.cumsum(is_new) - 1
    counts = np.bincount(run)
    return (np.bincount(run, weights=gains[order]) / counts)[run]
