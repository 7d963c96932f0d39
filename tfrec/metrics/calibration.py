"""Whether predicted probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfrec.metrics.grouped import GroupedMetric, sums_by_group, weights_of

Floats = NDArray[np.float64]
Binning = Literal["width", "mass"]


@dataclass(frozen=True)
class ReliabilityBins:
    """Rows in bins of their prediction, empty bins left out: the points of a reliability diagram.

    Attributes:
        mean_prediction: of each bin, ascending. float64 [bins]
        mean_label: of each bin. float64 [bins]
        weight: sum of the rows' weights; their number where none were given. float64 [bins]

    """

    mean_prediction: Floats
    mean_label: Floats
    weight: Floats

    @property
    def expected_calibration_error(self) -> float:
        """Σ weight · |mean label − mean prediction| / Σ weight (Naeini et al. 2015). NaN without rows."""
        total = float(self.weight.sum())
        return float(self.weight @ np.abs(self.mean_label - self.mean_prediction)) / total if total else float("nan")


def reliability_bins(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bins: int = 10,
    equal: Binning = "width",
) -> ReliabilityBins:
    """Mean prediction and mean label in bins of the prediction.

    Args:
        labels: 0 or 1 (or a share). [rows]
        probabilities: from 0 to 1. [rows]
        weights: of the rows. [rows]
        bins: how many.
        equal: `width`: [i/bins, (i + 1)/bins), the last with 1; `mass`: see `equal_mass_bins`.

    """
    labels, predicted = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    if not ((predicted >= 0) & (predicted <= 1)).all():
        wrong = predicted[~((predicted >= 0) & (predicted <= 1))][0]
        raise ValueError(f"a probability is {wrong}; allowed: 0 to 1 (scipy.special.expit(logits), for logits)")
    weight = weights_of(len(labels), weights)
    if equal == "width":
        index = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    else:
        index = equal_mass_bins(predicted, weight, bins)
    total = sums_by_group(weight, index, bins)
    label, prediction = sums_by_group(weight * labels, index, bins), sums_by_group(weight * predicted, index, bins)
    kept = total > 0
    return ReliabilityBins(prediction[kept] / total[kept], label[kept] / total[kept], total[kept])


def expected_calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bins: int = 10,
    equal: Binning = "width",
) -> float:
    """Mean distance of mean label and mean prediction over the bins of `reliability_bins`, weighted by rows."""
    return reliability_bins(labels, probabilities, weights, bins=bins, equal=equal).expected_calibration_error


def calibration_ratio(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Σ prediction / Σ label: above 1 where more is promised than comes (He et al. 2014, §2). NaN without positives."""
    labels, predicted = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    weight = weights_of(len(labels), weights)
    positives = float(weight @ labels)
    return float(weight @ predicted) / positives if positives else float("nan")


def prediction_bias(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean prediction − mean label, in units of the label (McMahan et al. 2013, §7); NaN without rows."""
    return prediction_bias_by_group(labels, predictions, np.zeros(len(np.asarray(labels)), int), weights).mean


def prediction_bias_by_group(
    labels: ArrayLike, predictions: ArrayLike, groups: ArrayLike, weights: ArrayLike | None = None
) -> GroupedMetric:
    """The bias in each slice of the rows; the mean over slices, weighted by rows, is the bias on the whole.

    Args:
        labels: 0 or 1, or values. [rows]
        predictions: probabilities, or values. [rows]
        groups: slice of each row. [rows]
        weights: of the rows; a slice of weight 0 is NaN. [rows]

    """
    excess = np.asarray(predictions, np.float64) - np.asarray(labels, np.float64)
    weight = weights_of(len(excess), weights)
    distinct, group = np.unique(np.asarray(groups), return_inverse=True)
    total = sums_by_group(weight, group, len(distinct))
    sums = sums_by_group(weight * excess, group, len(distinct))
    return GroupedMetric(distinct, np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan), total)


def equal_mass_bins(values: ArrayLike, weights: ArrayLike | None, bins: int) -> NDArray[np.int64]:
    """Bin of each row, by ascending value: as nearly equal in weight as equal values, which stay together, allow.

    A run of equal values is in the bin that the middle of its weight is in; some bins may be left empty.

    Args:
        values: [rows]
        weights: of the rows; 1 each by default. [rows]
        bins: how many.

    """
    distinct, run = np.unique(np.asarray(values, np.float64), return_inverse=True)
    mass = sums_by_group(weights_of(len(run), weights), run, len(distinct))
    middles = (np.cumsum(mass) - mass / 2) / (mass.sum() or 1.0)
    found: NDArray[np.int64] = np.minimum((middles * bins).astype(np.int64), bins - 1)[run]
    return found
