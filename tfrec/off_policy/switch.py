"""Switch: the logged reward where weights are small, the reward model alone where they are large."""

from __future__ import annotations

import numpy as np

from tfrec.errors import DataError
from tfrec.off_policy.estimate import Estimate, estimate_of
from tfrec.off_policy.intervals import influence_interval
from tfrec.off_policy.log import LoggedActions

THRESHOLDS = 15  # tried by default, at quantiles of the weights
HALF_WIDTH = 1.45  # standard errors; wider ones, as in the paper, measured worse where the reward model is poor


def switch_doubly_robust(log: LoggedActions, threshold: float | None = None) -> Estimate:
    """mean(q̂(x, π) + w 1[w ≤ τ] (r − q̂(x, a))).

    Biased by the reward model's error where w > τ, so its interval is about the estimator's expectation alone.

    Args:
        log: with predictions of a reward model that was not fitted on it.
        threshold: τ; None to choose it by SLOPE.

    Source: Wang, Agarwal and Dudík, "Optimal and adaptive off-policy evaluation in contextual bandits" (2017).

    """
    if log.logged_predictions is None or log.target_predictions is None:
        raise DataError("switch needs a reward model: give logged_predictions and target_predictions")
    residuals = log.weights * (log.rewards - log.logged_predictions)
    chosen = slope_threshold(log) if threshold is None else np.full(log.rewards.shape[:-1], float(threshold))
    terms = log.target_predictions + np.where(log.weights <= chosen[..., None], residuals, 0.0)
    value = terms.mean(axis=-1)
    return estimate_of(
        "switch_doubly_robust",
        value,
        terms - value[..., None],
        log.clusters,
        log.check.supports_intervals,
        why_not="the reward model stands in for large weights, and the threshold was chosen on the log",
    )


def slope_threshold(log: LoggedActions, thresholds: int = THRESHOLDS) -> np.ndarray:
    """The smallest τ whose interval, and those of all larger ones, have a point in common: float [...].

    Large thresholds have little bias and much variance. While the intervals [V̂_τ ± 1.45 s_τ] still meet, the bias of
    the smaller threshold is within the noise of the larger ones.

    Source: Su, Srinath and Krishnamurthy, "Adaptive estimator selection for off-policy evaluation" (2020).
    """
    assert log.logged_predictions is not None
    assert log.target_predictions is not None
    residuals = log.weights * (log.rewards - log.logged_predictions)
    chosen = log.weights.max(axis=-1)
    low, high = np.full(chosen.shape, -np.inf), np.full(chosen.shape, np.inf)
    is_open = np.ones(chosen.shape, bool)
    limits = np.quantile(log.weights, np.linspace(1.0, 0.0, thresholds), axis=-1)
    limits[-1] = -1.0  # the last candidate lies below every weight: the direct method
    for limit in limits:
        terms = log.target_predictions + np.where(log.weights <= limit[..., None], residuals, 0.0)
        value = terms.mean(axis=-1)
        error = influence_interval(terms - value[..., None], log.clusters).standard_error
        low, high = np.maximum(low, value - HALF_WIDTH * error), np.minimum(high, value + HALF_WIDTH * error)
        is_open &= low <= high
        chosen = np.where(is_open, limit, chosen)
    return chosen
