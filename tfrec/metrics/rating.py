"""Errors of predicted values, such as ratings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfrec.metrics.grouped import GroupedMetric, sums_by_group, weights_of


def root_mean_squared_error(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """sqrt(Σ w (y − ŷ)² / Σ w), in units of the label; NaN without rows."""
    return float(np.sqrt(_mean(_errors(labels, predictions) ** 2, weights)))


def mean_absolute_error(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Σ w |y − ŷ| / Σ w, in units of the label; NaN without rows."""
    return _mean(np.abs(_errors(labels, predictions)), weights)


def rmse_by_group(labels: ArrayLike, predictions: ArrayLike, groups: ArrayLike) -> GroupedMetric:
    """Root mean squared error of each group, such as each user; its mean counts groups alike."""
    found = _mean_by_group(_errors(labels, predictions) ** 2, groups)
    return GroupedMetric(found.groups, np.sqrt(found.values), found.weights)


def mae_by_group(labels: ArrayLike, predictions: ArrayLike, groups: ArrayLike) -> GroupedMetric:
    """Mean absolute error of each group, such as each user; its mean counts groups alike."""
    return _mean_by_group(np.abs(_errors(labels, predictions)), groups)


def _errors(labels: ArrayLike, predictions: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(labels, np.float64) - np.asarray(predictions, np.float64)


def _mean(values: NDArray[np.float64], weights: ArrayLike | None) -> float:
    weight = weights_of(len(values), weights)
    return float(weight @ values / weight.sum()) if weight.sum() > 0 else float("nan")


def _mean_by_group(values: NDArray[np.float64], groups: ArrayLike) -> GroupedMetric:
    distinct, group, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return GroupedMetric(distinct, sums_by_group(values, group, len(distinct)) / counts, np.ones(len(distinct)))
