"""Metrics of labelled events that come in parts: in batches of any size, in any order, from any number of workers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.special
from numpy.typing import ArrayLike, NDArray

from tfrec.metrics.classification import auc, class_weights, gauc, log_loss, pr_auc
from tfrec.metrics.grouped import GroupedMetric, checked_values, sums_by_group, weights_of
from tfrec.metrics.requests import ndcg_by_group

Floats = NDArray[np.float64]


class EventAccumulator:
    """Sums up predictions of a binary label; what it says is what the functions say of all events at once, to rounding.

    Sums alone are kept for the means. AUC and its like need the order of all events: of each distinct logit the weight
    of its positives and negatives is kept, 24 bytes, which is exact, and for a while as much of events that are not
    sorted in yet. The events of a group must come in one part.

    Args:
        ks: cuts of NDCG within groups.
        bins: of equal width, of the calibration error.

    """

    def __init__(self, ks: Sequence[int] = (), *, bins: int = 10) -> None:
        self._ks, self._bins = tuple(ks), bins
        self._loss = 0.0  # Σ w · log loss
        self._of_bins = np.zeros((3, bins))  # Σ w, Σ w · label and Σ w · probability
        self._logits = np.zeros(0)
        self._weights = np.zeros((2, 0))  # of negatives and positives with each of the logits
        self._waiting: list[tuple[Floats, Floats]] = []  # logits and such weights that are not among them yet
        self._of_groups = np.zeros((1 + len(self._ks), 2))  # Σ weight · value and Σ weight: GAUC, then NDCG at each k

    def add(
        self, labels: ArrayLike, logits: ArrayLike, weights: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> None:
        """Take in further events.

        Args:
            labels: 0 or 1. [rows]
            logits: before the sigmoid. [rows]
            weights: of the rows; 1 each by default. [rows]
            groups: such as users or requests, none of which came before; None for no metrics within groups. [rows]

        Raises:
            ValueError: a label is neither 0 nor 1, or a weight is negative.
            DataError: a logit is NaN.

        """
        labels, logits = np.asarray(labels, np.float64), checked_values("logits", logits)
        if not len(labels):
            return
        weight = weights_of(len(labels), weights)
        positive, negative = class_weights(labels, weight)
        if weight.sum() > 0:
            self._loss += log_loss(labels, logits, weight) * float(weight.sum())
        p = scipy.special.expit(logits)
        place = np.minimum((p * self._bins).astype(np.int64), self._bins - 1)
        for row, values in enumerate((weight, positive, weight * p)):
            self._of_bins[row] += sums_by_group(values, place, self._bins)
        self._keep(logits, np.stack([negative, positive]))
        if groups is not None:
            of_ks = ndcg_by_group(labels, logits, groups, self._ks)
            found = [gauc(labels, logits, groups, weight), *(of_ks[k] for k in self._ks)]
            self._of_groups += np.array([_sums(one) for one in found])

    def merge(self, other: EventAccumulator) -> None:
        """Take in what another one has seen: other events, other groups, the same `ks` and `bins`."""
        if (other._ks, other._bins) != (self._ks, self._bins):
            raise ValueError(f"ks {other._ks} and {other._bins} bins do not go with {self._ks} and {self._bins}")
        self._loss += other._loss
        self._of_bins += other._of_bins
        self._of_groups += other._of_groups
        for logits, weights in ((other._logits, other._weights), *other._waiting):
            self._keep(logits, weights)

    def metrics(self) -> dict[str, float]:
        """`auc`, `pr_auc`, `log_loss`, `normalised_entropy`, `expected_calibration_error`, `calibration_ratio`,
        `prediction_bias`, `gauc` and `request_ndcg_at_k`; NaN where one is not defined.
        """
        self._sort_in()
        weight, label, predicted = self._of_bins
        total, positives, promised = (float(sums.sum()) for sums in self._of_bins)
        logits = np.tile(self._logits, 2)
        labels, weights = np.repeat([0.0, 1.0], len(self._logits)), self._weights.reshape(-1)
        loss, rate = _ratio(self._loss, total), _ratio(positives, total)
        of_groups = [_ratio(*sums) for sums in self._of_groups.tolist()]
        return {
            "auc": auc(labels, logits, weights),
            "pr_auc": pr_auc(labels, logits, weights),
            "log_loss": loss,
            "normalised_entropy": _ratio(loss, float(scipy.special.entr(rate) + scipy.special.entr(1 - rate))),
            "expected_calibration_error": _ratio(float(np.abs(label - predicted)[weight > 0].sum()), total),
            "calibration_ratio": _ratio(promised, positives),
            "prediction_bias": _ratio(promised - positives, total),
            "gauc": of_groups[0],
            **{f"request_ndcg_at_{k}": value for k, value in zip(self._ks, of_groups[1:], strict=True)},
        }

    def _keep(self, logits: Floats, weights: Floats) -> None:
        self._waiting.append((logits, weights))
        # As many wait as are sorted: however small the parts, each event is sorted about twice in all.
        if sum(len(some) for some, _ in self._waiting) > len(self._logits):
            self._sort_in()

    def _sort_in(self) -> None:
        logits, weights = zip((self._logits, self._weights), *self._waiting, strict=True)
        self._logits, place = np.unique(np.concatenate(logits), return_inverse=True)
        both = np.concatenate(weights, axis=1)
        self._weights = np.stack([sums_by_group(row, place, len(self._logits)) for row in both])
        self._waiting = []


class ErrorAccumulator:
    """Sums up predictions of a label that is a value, as `EventAccumulator` does those of a binary one.

    Four sums are all that is kept.
    """

    def __init__(self) -> None:
        self._sums = np.zeros(4)  # Σ w, Σ w e, Σ w |e| and Σ w e², e the prediction minus the label

    def add(self, labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> None:
        """Take in further events.

        Args:
            labels: [rows]
            predictions: in units of the label. [rows]
            weights: of the rows; 1 each by default. [rows]

        """
        errors = checked_values("predictions", predictions) - np.asarray(labels, np.float64)
        powers = np.stack([np.ones_like(errors), errors, np.abs(errors), errors**2])
        self._sums += powers @ weights_of(len(errors), weights)

    def merge(self, other: ErrorAccumulator) -> None:
        """Take in what another one has seen: other events."""
        self._sums += other._sums

    def metrics(self) -> dict[str, float]:
        """`rmse`, `mae` and `prediction_bias`; NaN without events of weight above 0."""
        total, bias, absolute, squared = self._sums.tolist()
        return {
            "rmse": math.sqrt(squared / total) if total > 0 else float("nan"),
            "mae": _ratio(absolute, total),
            "prediction_bias": _ratio(bias, total),
        }


def _sums(metric: GroupedMetric) -> tuple[float, float]:
    known = ~np.isnan(metric.values)
    return float(metric.weights[known] @ metric.values[known]), float(metric.weights[known].sum())


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float("nan")
