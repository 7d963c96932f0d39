"""Metrics of predicted probabilities against binary labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative), ties counting one half.

    Computed from mid-ranks (Mann & Whitney 1947). NaN where one of the classes is absent: there is nothing to order.

    Args:
        labels: 0 or 1. [rows]
        scores: higher means more likely 1. [rows]

    """
    labels, scores = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    positives = labels.sum()
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float((mid_ranks[inverse] * labels).sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def log_loss(labels: ArrayLike, logits: ArrayLike) -> float:
    """Mean negative log likelihood in nats, from logits z: softplus(z) − y·z. Exact for any z, nothing is clipped.

    Args:
        labels: 0 or 1 (or a probability). [rows]
        logits: before the sigmoid. [rows]

    """
    labels, logits = np.asarray(labels, dtype=np.float64), np.asarray(logits, dtype=np.float64)
    if len(labels) == 0:
        return float("nan")
    return float(np.mean(np.logaddexp(0.0, logits) - labels * logits))
