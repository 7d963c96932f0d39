"""Metrics of predicted values, such as ratings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def root_mean_squared_error(labels: ArrayLike, predictions: ArrayLike) -> float:
    """sqrt(mean((y − ŷ)²)), in units of the label; NaN without rows."""
    error = np.asarray(labels, np.float64) - np.asarray(predictions, np.float64)
    return float(np.sqrt(np.mean(error**2))) if error.size else float("nan")


def mean_absolute_error(labels: ArrayLike, predictions: ArrayLike) -> float:
    """mean(|y − ŷ|), in units of the label; NaN without rows."""
    error = np.asarray(labels, np.float64) - np.asarray(predictions, np.float64)
    return float(np.mean(np.abs(error))) if error.size else float("nan")
