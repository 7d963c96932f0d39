"""The value of a policy from a log of single actions.

V(π) = E_x Σ_a π(a|x) E[r|x, a], the mean reward of a row if π had chosen; w_i = π(a_i|x_i) / p(a_i|x_i).
Every function takes one log or many of one layout (leading axes), and gives estimates of the same leading shape.
"""

from __future__ import annotations

import numpy as np

from tfrec.errors import DataError
from tfrec.off_policy.estimate import Estimate, estimate_of
from tfrec.off_policy.log import LoggedActions


def replay(log: LoggedActions) -> Estimate:
    """Σ π r / Σ π: the mean reward of the rows that π agrees with, each in the share in which it would.

    Right only where the logging policy was uniform, since propensities are not looked at: the interval is claimed only
    where they are all equal.

    Source: Li et al., "Unbiased offline evaluation of contextual-bandit-based news article recommendation" (2011).
    """
    is_uniform = np.ptp(log.propensities, axis=-1) <= 1e-6 * log.propensities.max(axis=-1)
    why_not = None if is_uniform.all() else "right for uniform logging only, and the propensities differ"
    return _ratio("replay", log, log.target_probabilities, why_not)


def ips(log: LoggedActions) -> Estimate:
    """mean(w r): unbiased where propensities are right and cover the target policy.

    Source: Horvitz and Thompson (1952).
    """
    return _mean("ips", log, log.weights * log.rewards)


def clipped_ips(log: LoggedActions, largest: float | None = None) -> Estimate:
    """mean(min(w, M) r): less variance, and biased towards 0 for rewards above 0.

    Its bias is −E[(w − M)⁺ r], in size at most E(w − M)⁺ · max |r|, and E(w − M)⁺ = 1 − E min(w, M) where the logging
    policy covers the target; the bound takes the larger of the log's own two means, and its largest |r|. The interval
    is about the expectation of the estimator, so none is claimed for the policy.

    Args:
        log: what happened.
        largest: M; None for √rows, with which the bias vanishes as the log grows.

    Source: Ionides, "Truncated importance sampling" (2008).

    """
    limit = np.sqrt(log.rewards.shape[-1]) if largest is None else largest
    if limit <= 0:
        raise DataError(f"the largest weight must be above 0; got {limit:g}")
    weights = np.minimum(log.weights, limit)
    cut = np.maximum(1 - weights.mean(axis=-1), (log.weights - weights).mean(axis=-1))
    bound = np.where((log.weights > limit).any(axis=-1), cut * np.abs(log.rewards).max(axis=-1), 0.0)
    return _mean("clipped_ips", log, weights * log.rewards, "clipping is a bias", bound)


def self_normalised_ips(log: LoggedActions) -> Estimate:
    """Σ w r / Σ w: within the range of the rewards, unmoved by a constant added to them; its bias is of order 1/rows.

    Source: Swaminathan and Joachims, "The self-normalized estimator for counterfactual learning" (2015).
    """
    return _ratio("self_normalised_ips", log, log.weights, None)


def direct_method(log: LoggedActions) -> Estimate:
    """mean_i Σ_a π(a|x_i) q̂(x_i, a): what the reward model believes. Its error is the model's, which no log shows."""
    _, target = _predictions(log)
    return _mean("direct_method", log, target, "it is as wrong as the reward model")


def doubly_robust(log: LoggedActions) -> Estimate:
    """mean(q̂(x, π) + w (r − q̂(x, a))): unbiased where the propensities or the reward model are right.

    The reward model must not have been fitted on these rows.

    Source: Dudík et al., "Doubly robust policy evaluation and optimization" (2011, 2014).
    """
    logged, target = _predictions(log)
    return _mean("doubly_robust", log, target + log.weights * (log.rewards - logged))


def self_normalised_doubly_robust(log: LoggedActions) -> Estimate:
    """Mean q̂(x, π) + Σ w (r − q̂(x, a)) / Σ w: as doubly robust, the correction normalised.

    Source: Thomas and Brunskill, "Data-efficient off-policy policy evaluation" (2016), weighted doubly robust.
    """
    logged, target = _predictions(log)
    residuals = log.rewards - logged
    mean_weight = log.weights.mean(axis=-1)[..., None]
    correction = (log.weights * residuals).mean(axis=-1)[..., None] / mean_weight
    base = target.mean(axis=-1)[..., None]
    influence = (target - base) + log.weights * (residuals - correction) / mean_weight
    value = (base + correction)[..., 0]
    return estimate_of("self_normalised_doubly_robust", value, influence, log.clusters, log.check.supports_intervals)


def _mean(
    name: str, log: LoggedActions, terms: np.ndarray, why_not: str | None = None, bound: np.ndarray | None = None
) -> Estimate:
    value = terms.mean(axis=-1)
    return estimate_of(
        name,
        value,
        terms - value[..., None],
        log.clusters,
        log.check.supports_intervals,
        why_not=why_not,
        bias_bound=bound,
    )


def _ratio(name: str, log: LoggedActions, weights: np.ndarray, why_not: str | None) -> Estimate:
    value = (weights * log.rewards).sum(axis=-1) / weights.sum(axis=-1)
    influence = weights * (log.rewards - value[..., None]) / weights.mean(axis=-1)[..., None]
    return estimate_of(name, value, influence, log.clusters, log.check.supports_intervals, why_not=why_not)


def _predictions(log: LoggedActions) -> tuple[np.ndarray, np.ndarray]:
    if log.logged_predictions is None or log.target_predictions is None:
        raise DataError("this estimator needs a reward model: give logged_predictions and target_predictions")
    return log.logged_predictions, log.target_predictions
