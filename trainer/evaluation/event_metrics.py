"""Metrics of predictions against labels."""

from __future__ import annotations

import numpy as np

from tfrec.metrics import (
    auc,
    calibration_ratio,
    expected_calibration_error,
    gauc,
    kendall,
    log_loss,
    mean_absolute_error,
    normalised_entropy,
    pr_auc,
    root_mean_squared_error,
    spearman,
)


def binary_metrics(labels: np.ndarray, logits: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Of a binary label; NaN where a metric is not defined.

    Args:
        labels: 0 or 1. [rows]
        logits: before the sigmoid. [rows]
        groups: within which GAUC compares. [rows]

    """
    probabilities = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -700, 700)))
    return {
        "auc": auc(labels, logits),
        "gauc": gauc(labels, logits, groups).mean,
        "pr_auc": pr_auc(labels, logits),
        "log_loss": log_loss(labels, logits),
        "normalised_entropy": normalised_entropy(labels, logits),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
        "calibration_ratio": calibration_ratio(labels, probabilities),
    }


def value_metrics(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Of a label that is a value. [rows] both"""
    return {
        "rmse": root_mean_squared_error(labels, predicted),
        "mae": mean_absolute_error(labels, predicted),
        "spearman": spearman(labels, predicted),
        "kendall": kendall(labels, predicted),
    }
