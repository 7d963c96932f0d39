"""How lists spread over the catalogue. Everything is counted in integers, so parts of the users add up exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tfrec.metrics.lists import RankedLists


def exposure_counts(lists: RankedLists, ks: Sequence[int], num_items: int) -> NDArray[np.int64]:
    """Lists that hold each item in their first k. int64 [ks, items]"""
    counts = np.zeros((len(ks), num_items), np.int64)
    last, total = 0, np.zeros(num_items, np.int64)
    for row in np.argsort(ks, kind="stable"):
        shown = lists.items[:, last : ks[row]] + 1  # NO_ITEM becomes 0
        total = total + np.bincount(shown.ravel(), minlength=num_items + 1)[1:]
        counts[row], last = total, ks[row]
    return counts


def coverage(counts: NDArray[np.int64]) -> float:
    """Share of the catalogue that stands in at least one list. NaN without items. `counts`: int64 [items]"""
    return float((counts > 0).mean()) if len(counts) else float("nan")


def gini(counts: NDArray[np.int64]) -> float:
    """Gini coefficient of exposure: 0 where every item is shown equally often, 1 − 1/items where only one is.

    Σ (2 i − N − 1) c_i / (N Σ c) over all N items of the catalogue in ascending order of their counts c, those never
    shown included (Gini 1912; Fleder & Hosanagar 2009). NaN where nothing is shown.

    Args:
        counts: how often each item is shown. int64 [items]

    """
    total = int(counts.sum())
    if not total:
        return float("nan")
    places = 2 * np.arange(1, len(counts) + 1) - len(counts) - 1
    return float(np.dot(places.astype(np.float64), np.sort(counts)) / (len(counts) * total))
