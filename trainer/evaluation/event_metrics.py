"""Metrics of predictions against labels, each event by its weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import scipy.special

from tfrec.metrics import (
    auc,
    calibration_ratio,
    expected_calibration_error,
    gauc,
    kendall,
    log_loss,
    mean_absolute_error,
    ndcg_by_group,
    normalised_entropy,
    pr_auc,
    prediction_bias,
    prediction_bias_by_group,
    root_mean_squared_error,
    spearman,
)

FEWEST = 100  # events of a slice whose bias is compared
Weights = np.ndarray | None


def binary_metrics(
    labels: np.ndarray,
    logits: np.ndarray,
    groups: np.ndarray,
    weights: Weights = None,
    *,
    has_probabilities: bool = True,
) -> dict[str, float]:
    """Of a binary label; NaN where a metric is not defined.

    Args:
        labels: 0 or 1. [rows]
        logits: before the sigmoid. [rows]
        groups: within which GAUC compares. [rows]
        weights: of the rows; 1 each by default. [rows]
        has_probabilities: whether the logits are those of probabilities; else they are judged by their order alone.

    """
    found = {
        "auc": auc(labels, logits, weights),
        "gauc": gauc(labels, logits, groups, weights).mean,
        "pr_auc": pr_auc(labels, logits, weights),
    }
    return found | (probability_metrics(labels, logits, weights) if has_probabilities else {})


def probability_metrics(labels: np.ndarray, logits: np.ndarray, weights: Weights = None) -> dict[str, float]:
    """Whether probabilities are sharp and come true. [rows] all"""
    p = probabilities(logits)
    return {
        "log_loss": log_loss(labels, logits, weights),
        "normalised_entropy": normalised_entropy(labels, logits, weights),
        "expected_calibration_error": expected_calibration_error(labels, p, weights),
        "calibration_ratio": calibration_ratio(labels, p, weights),
        "prediction_bias": prediction_bias(labels, p, weights),
    }


def value_metrics(labels: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> dict[str, float]:
    """Of a label that is a value; the two correlations count all rows alike. [rows] all"""
    return {
        "rmse": root_mean_squared_error(labels, predicted, weights),
        "mae": mean_absolute_error(labels, predicted, weights),
        "prediction_bias": prediction_bias(labels, predicted, weights),
        **order_metrics(labels, predicted),
    }


def order_metrics(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Whether what is higher is predicted higher; all rows count alike. [rows] both"""
    return {"spearman": spearman(labels, predicted), "kendall": kendall(labels, predicted)}


def request_groups(request_ids: np.ndarray) -> np.ndarray:
    """The request of each event, an integer; an event without an id has one of its own, below 0. [rows]"""
    found = np.unique(request_ids, return_inverse=True)[1]
    return np.where(request_ids == b"", -1 - np.arange(len(found)), found)


def request_metrics(
    labels: np.ndarray, predicted: np.ndarray, requests: np.ndarray, ks: Sequence[int]
) -> dict[str, float]:
    """`request_ndcg_at_k`: mean over the requests with a label above 0; labels below 0 gain nothing.

    Args:
        labels: [rows]
        predicted: of which the highest stands first. [rows]
        requests: of `request_groups`; rows without one are left out. [rows]
        ks: cuts.

    """
    known = requests >= 0
    found = ndcg_by_group(np.maximum(labels[known], 0), predicted[known], requests[known], ks)
    return {f"request_ndcg_at_{k}": one.mean for k, one in found.items()}


def worst_biases(
    labels: np.ndarray, predictions: np.ndarray, slices: Mapping[str, np.ndarray], weights: Weights = None
) -> dict[str, float]:
    """The bias that is furthest from 0 among the slices of each property, those of at least `FEWEST` events.

    Args:
        labels: [rows]
        predictions: probabilities or values. [rows]
        slices: property → slice of each row. [rows] each
        weights: of the rows. [rows]

    """
    found = {}
    for name, of_row in slices.items():
        biases = prediction_bias_by_group(labels, predictions, of_row, weights)
        sizes = np.unique(of_row, return_counts=True)[1]
        kept = biases.values[(sizes >= FEWEST) & ~np.isnan(biases.values)]
        if len(kept) > 1:
            found[f"worst_prediction_bias_by_{name}"] = float(kept[np.argmax(np.abs(kept))])
    return found


def first_of_tasks(names: Iterable[str]) -> list[str]:
    """Of names of metrics that of each further prediction that is looked at first: `like_auc`, `seconds_rmse`."""
    return [
        name
        for name in names
        if name.endswith(("_auc", "_rmse")) and name != "pr_auc" and not name.startswith("worst_")
    ]


def probabilities(logits: np.ndarray) -> np.ndarray:
    """float64 [rows]"""
    found: np.ndarray = scipy.special.expit(logits.astype(np.float64))
    return found
