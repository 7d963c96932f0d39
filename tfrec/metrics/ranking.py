"""Ranking metrics of top-k lists with binary relevance, one value per user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RANKING_METRICS = ("hit_rate", "recall", "precision", "ndcg", "mrr", "map", "map_n")


def ranking_metric_names(ks: Sequence[int]) -> tuple[str, ...]:
    """What `ranking_metrics` gives, in its order."""
    return tuple(f"{name}_at_{k}" for k in ks for name in RANKING_METRICS)


def ranking_metrics(hits: NDArray[np.bool_], relevant: NDArray[np.integer], ks: Sequence[int]) -> dict[str, Floats]:
    """Metrics of each user's list, cut at each k.

    With h_r = 1 where the item at rank r (from 1) is relevant, H_k = Σ_{r ≤ k} h_r and n the number of relevant items:

    - hit_rate_at_k = 1 if H_k > 0
    - recall_at_k = H_k / n
    - precision_at_k = H_k / k, also where the list is shorter
    - ndcg_at_k = Σ_{r ≤ k} h_r / log₂(r + 1), divided by the same sum for min(k, n) hits on top
      (Järvelin & Kekäläinen 2002, binary gains)
    - mrr_at_k = 1 / rank of the first hit, 0 without a hit within k
    - map_at_k = Σ_{r ≤ k} h_r · H_r / r, divided by min(k, n)
    - map_n_at_k = the same sum divided by k: AP@N as lectures define it, below 1 where n < k

    Args:
        hits: whether each listed item is relevant; False where a list has ended. [users, listed]
        relevant: number of relevant items of each user, at least 1. [users]
        ks: cuts. A k above `listed` counts the missing places as no hits.

    Returns:
        metric name → float64 [users].

    Raises:
        ValueError: a user has no relevant item (leave such users out: no metric is defined for them); a k is below 1.

    """
    if len(relevant) and int(relevant.min()) < 1:
        raise ValueError("a user without relevant items has no ranking metric; leave the user out")
    if ks and min(ks) < 1:
        raise ValueError(f"k is {min(ks)}; a cut is at 1 or later")
    longest = max(ks, default=0)
    gains = np.zeros((len(hits), longest + 1))  # column k holds rank k, so that sums up to k stand there too
    gains[:, 1 : hits.shape[1] + 1] = hits[:, :longest]
    ranks = np.arange(1, longest + 1)
    discounts = np.concatenate([[0.0], 1 / np.log2(ranks + 1)])
    ideal = np.cumsum(discounts)
    total = np.cumsum(gains, axis=1)
    dcg = np.cumsum(gains * discounts, axis=1)
    precision_sum = np.cumsum(gains * total / np.maximum(np.arange(longest + 1), 1), axis=1)
    first_rank = np.where(total[:, -1] > 0, gains.argmax(axis=1), np.inf)
    result: dict[str, Floats] = {}
    for k in ks:
        best = np.minimum(k, relevant)
        result[f"hit_rate_at_{k}"] = (total[:, k] > 0).astype(np.float64)
        result[f"recall_at_{k}"] = total[:, k] / relevant
        result[f"precision_at_{k}"] = total[:, k] / k
        result[f"ndcg_at_{k}"] = dcg[:, k] / ideal[best]
        result[f"mrr_at_{k}"] = np.where(first_rank <= k, 1 / first_rank, 0.0)
        result[f"map_at_{k}"] = precision_sum[:, k] / best
        result[f"map_n_at_{k}"] = precision_sum[:, k] / k
    return result
