"""Ranking metrics of top-k lists with binary relevance, one value per user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ranking_metrics(hits: NDArray[np.bool_], relevant: NDArray[np.integer], ks: Sequence[int]) -> dict[str, Floats]:
    """Metrics of each user's list, cut at each k.

    With h_r = 1 where the item at rank r (from 1) is relevant, H_k = Σ_{r ≤ k} h_r and n the number of relevant items:

    - hit_rate_at_k = 1 if H_k > 0
    - recall_at_k = H_k / n
    - ndcg_at_k = Σ_{r ≤ k} h_r / log₂(r + 1), divided by the same sum for min(k, n) hits on top
      (Järvelin & Kekäläinen 2002, binary gains)
    - mrr_at_k = 1 / rank of the first hit, 0 without a hit within k
    - map_at_k = Σ_{r ≤ k} h_r · H_r / r, divided by min(k, n)

    Args:
        hits: whether each listed item is relevant; False where a list has ended. [users, listed]
        relevant: number of relevant items of each user, at least 1. [users]
        ks: cuts. A k above `listed` counts the missing places as no hits.

    Returns:
        metric name → float64 [users].

    Raises:
        ValueError: a user has no relevant item (leave such users out: no metric is defined for them).

    """
    if len(relevant) and int(relevant.min()) < 1:
        raise ValueError("a user without relevant items has no ranking metric; leave the user out")
    gains = hits.astype(np.float64)
    ranks = np.arange(1, hits.shape[1] + 1)
    discounts = 1 / np.log2(ranks + 1)
    cumulative_hits = np.cumsum(gains, axis=1)
    dcg = np.cumsum(gains * discounts, axis=1)
    precision_sum = np.cumsum(gains * cumulative_hits / ranks, axis=1)
    any_hit = hits.any(axis=1)
    first_rank = np.where(any_hit, hits.argmax(axis=1) + 1, np.inf) if hits.shape[1] else np.full(len(hits), np.inf)
    result: dict[str, Floats] = {}
    for k in ks:
        best = np.minimum(k, relevant)
        ideal = np.cumsum(1 / np.log2(np.arange(1, k + 1) + 1))[best - 1]
        last = min(k, hits.shape[1]) - 1
        total = cumulative_hits[:, last] if last >= 0 else np.zeros(len(hits))
        result[f"hit_rate_at_{k}"] = (total > 0).astype(np.float64)
        result[f"recall_at_{k}"] = total / relevant
        result[f"ndcg_at_{k}"] = (dcg[:, last] if last >= 0 else total) / ideal
        result[f"mrr_at_{k}"] = np.where(first_rank <= k, 1 / first_rank, 0.0)
        result[f"map_at_{k}"] = (precision_sum[:, last] if last >= 0 else total) / best
    return result
