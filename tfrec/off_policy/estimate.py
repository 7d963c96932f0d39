"""What an estimator returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrec.off_policy.clusters import Clusters
from tfrec.off_policy.intervals import finite, influence_interval


@dataclass(frozen=True)
class Estimate:
    """The value of a policy. Arrays are float [...] for logs [..., rows], of no dimension for one log.

    Attributes:
        estimator: its name.
        value: mean reward per row (of slates: per slate).
        standard_error: cluster-robust.
        low, high: 95 % interval. It is about the policy's value only where `claims_interval`.
        claims_interval: whether the interval is claimed to cover the policy's value in 95 % of logs. bool [...]
        why_not: why not, where the estimator itself cannot claim it.
        bias_bound: how far the expectation may lie from the policy's value, where the estimator can say so.

    """

    estimator: str
    value: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    claims_interval: np.ndarray
    why_not: str | None = None
    bias_bound: np.ndarray | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON; None for an infinite end."""
        result: dict[str, Any] = {
            name: finite(getattr(self, name)) for name in ("value", "standard_error", "low", "high")
        }
        result["claims_interval"] = bool(self.claims_interval)
        if self.why_not is not None:
            result["why_not"] = self.why_not
        if self.bias_bound is not None:
            result["bias_bound"] = float(self.bias_bound)
        return result


def estimate_of(
    estimator: str,
    value: np.ndarray,
    influence: np.ndarray,
    clusters: Clusters,
    supports_intervals: np.ndarray,
    *,
    why_not: str | None = None,
    bias_bound: np.ndarray | None = None,
) -> Estimate:
    """An estimate with the interval that follows from each row's influence, float [..., rows]."""
    interval = influence_interval(influence, clusters)
    claims = np.asarray(supports_intervals) & (why_not is None)
    return Estimate(
        estimator,
        value,
        interval.standard_error,
        value + interval.low,
        value + interval.high,
        claims,
        why_not,
        bias_bound,
    )
