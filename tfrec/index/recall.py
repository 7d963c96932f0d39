"""How many of the truly nearest items an index finds."""

from __future__ import annotations

import numpy as np

from tfrec.certainty import Interval, bootstrap_mean
from tfrec.index.partition import Partition

SAME = 1e-5  # relative; sums in another order


def recall_of_rows(found: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Share of the places of each list that are filled with an item as near as the true one.

    Items that are equally near are as good as each other, so scores are compared and not items.

    Args:
        found: scores of what was found, distinct items each. float [rows, k]
        nearest: scores of the nearest items, largest first. float [rows, k]

    Returns:
        float64 [rows]

    """
    worst = nearest[:, -1:].astype(np.float64)
    return np.mean(found >= worst - SAME * np.abs(worst), axis=1)


def recall_interval(found: np.ndarray, nearest: np.ndarray, seed: int = 1) -> Interval:
    """The mean of `recall_of_rows`, with its 95 % interval over queries."""
    return bootstrap_mean(recall_of_rows(found, nearest), seed=seed)


def recall_by_probes(queries: np.ndarray, nearest: np.ndarray, parts: Partition, most: int) -> np.ndarray:
    """The recall of looking into 1, 2, … `most` lists.

    All items of a list get their true score, so a nearest item is found where its list is looked into.

    Args:
        queries: float32 [rows, dim].
        nearest: their nearest items, all of which count. int [rows, k]
        parts: the lists.
        most: probes.

    Returns:
        float64 [most]

    """
    list_of_item = np.empty(len(parts.order), np.int64)
    list_of_item[parts.order] = np.repeat(np.arange(len(parts.centres)), np.diff(parts.starts))
    order = np.argsort(-(queries @ parts.centres.T), axis=1, kind="stable")
    turn = np.empty_like(order)
    np.put_along_axis(turn, order, np.arange(order.shape[1])[None], axis=1)
    turns = np.take_along_axis(turn, list_of_item[nearest], axis=1)
    return np.cumsum(np.bincount(turns.ravel(), minlength=order.shape[1]))[:most] / turns.size
