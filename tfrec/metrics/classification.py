"""Metrics of predicted scores and logits against binary labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfrec.metrics.grouped import GroupedMetric, checked_values, sums_by_group, weights_of

Floats = NDArray[np.float64]


def auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative), ties counting one half.

    Σ w_i w_j ([s_i > s_j] + ½ [s_i = s_j]) / Σ w_i w_j over positives i and negatives j (Mann & Whitney 1947). NaN
    where one of the classes is absent: there is nothing to order.

    Args:
        labels: 0 or 1. [rows]
        scores: higher means more likely 1. [rows]
        weights: of the rows. [rows]

    """
    labels, scores = np.asarray(labels, np.float64), checked_values("scores", scores)
    order = np.argsort(scores)
    positive, negative = class_weights(labels[order], weights_of(len(labels), weights)[order])
    starts = _starts(scores[order])
    above, pairs = _areas(starts, np.zeros(len(starts), np.int64), positive, negative, 1)
    return float(above[0] / pairs[0]) if pairs[0] > 0 else float("nan")


def gauc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, weights: ArrayLike | None = None) -> GroupedMetric:
    """AUC within each group, usually the user or the request; its mean, weighted by impressions, is GAUC.

    Σ_g n_g AUC_g / Σ_g n_g with n_g the rows of a group (Zhou et al. 2018, eq. 12). Groups without both classes have no
    AUC: they are NaN, left out of the mean and counted in `left_out`.

    Args:
        labels: 0 or 1. [rows]
        scores: higher means more likely 1. [rows]
        groups: of each row. [rows]
        weights: of the rows; n_g is then their sum. [rows]

    """
    labels, scores = np.asarray(labels, np.float64), checked_values("scores", scores)
    distinct, group = np.unique(np.asarray(groups), return_inverse=True)
    weight = weights_of(len(labels), weights)
    order = np.lexsort((scores, group))
    positive, negative = class_weights(labels[order], weight[order])
    starts = _starts(scores[order], group[order])
    above, pairs = _areas(starts, group[order][starts], positive, negative, len(distinct))
    values = np.where(pairs > 0, above / np.where(pairs > 0, pairs, 1), np.nan)
    return GroupedMetric(distinct, values, sums_by_group(weight, group, len(distinct)))


def pr_auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Average precision: Σ (R_t − R_{t−1}) P_t over the distinct scores t as thresholds, the highest first.

    The area under the precision-recall curve without interpolation, which would be too optimistic (Davis & Goadrich
    2006). NaN without positives.
    """
    labels, scores = np.asarray(labels, np.float64), checked_values("scores", scores)
    order = np.argsort(-scores)
    positive, negative = class_weights(labels[order], weights_of(len(labels), weights)[order])
    starts = _starts(scores[order])
    if not positive.sum() > 0:
        return float("nan")
    new = np.add.reduceat(positive, starts)
    found, taken = np.cumsum(new), np.cumsum(np.add.reduceat(positive + negative, starts))
    return float((new * found / np.where(taken > 0, taken, 1)).sum() / found[-1])


def log_loss(labels: ArrayLike, logits: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean negative log likelihood in nats, from logits.

    Args:
        labels: 0 or 1 (or a probability). [rows]
        logits: before the sigmoid. [rows]
        weights: of the rows. [rows]

    """
    losses = log_losses(labels, logits)
    weight = weights_of(len(losses), weights)
    if not weight.sum() > 0:
        return float("nan")
    return float(_times(weight, losses).sum() / weight.sum())


def log_losses(labels: ArrayLike, logits: ArrayLike) -> Floats:
    """Negative log likelihood of each row: y·softplus(−z) + (1 − y)·softplus(z).

    Exact for any z, nothing is clipped: an infinite logit costs nothing where it is right, infinity where it is wrong.
    """
    labels, logits = np.asarray(labels, dtype=np.float64), np.asarray(logits, dtype=np.float64)
    return _times(labels, np.logaddexp(0.0, -logits)) + _times(1.0 - labels, np.logaddexp(0.0, logits))


def _times(shares: Floats, losses: Floats) -> Floats:
    """The product, where 0 · ∞ is 0."""
    return np.multiply(shares, losses, out=np.zeros_like(losses), where=shares != 0)


def normalised_entropy(labels: ArrayLike, logits: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Log loss / entropy of the mean label: 1 is no better than the base rate, 0 is perfect (He et al. 2014, eq. 1).

    NaN where a class is absent: the base rate is then certain.
    """
    labels = np.asarray(labels, np.float64)
    weight = weights_of(len(labels), weights)
    rate = float(weight @ labels / weight.sum()) if weight.sum() > 0 else 0.0
    if not 0 < rate < 1:
        return float("nan")
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    return log_loss(labels, logits, weight) / float(entropy)


def class_weights(labels: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of each row as a positive and as a negative. Raises ValueError unless labels are 0 and 1."""
    if not ((labels == 0) | (labels == 1)).all():
        wrong = labels[(labels != 0) & (labels != 1)][0]
        raise ValueError(f"a label is {wrong}; allowed: 0 and 1")
    return weights * labels, weights * (1 - labels)


def _starts(*columns: NDArray) -> NDArray[np.int64]:
    """Where a run of rows that are equal in all columns begins."""
    if not len(columns[0]):
        return np.zeros(0, np.int64)
    is_new = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.concatenate([[0], np.flatnonzero(is_new) + 1])


def _areas(starts: NDArray, group: NDArray, positive: Floats, negative: Floats, groups: int) -> tuple[Floats, Floats]:
    """Weight of the pairs in right order, and of all pairs, of each group.

    Args:
        starts: first row of each run of equal scores in a group; rows ascend by group, then by score. [runs]
        group: of each run. [runs]
        positive: weight of each row of label 1, 0 for others. [rows]
        negative: weight of each row of label 0, 0 for others. [rows]
        groups: how many.

    """
    if not len(starts):
        return np.zeros(groups), np.zeros(groups)
    up, down = np.add.reduceat(positive, starts), np.add.reduceat(negative, starts)
    totals = sums_by_group(down, group, groups)
    before = np.cumsum(down) - down - (np.cumsum(totals) - totals)[group]  # of the same group, lower scores
    above = sums_by_group(up * (before + down / 2), group, groups)
    return above, sums_by_group(up, group, groups) * totals
