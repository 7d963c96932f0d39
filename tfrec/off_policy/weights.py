"""Importance weights, and what they tell before any estimate is believed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tfrec.off_policy.clusters import Clusters
from tfrec.off_policy.intervals import Interval, finite, influence_interval, studentised_mean_p_value

FEWEST_EFFECTIVE = 100.0  # clusters; with fewer the intervals were seen to miss more often than they say
SUSPICIOUS_P_VALUE = 0.01  # of the mean weight
REFUTED_P_VALUE = 1e-4  # of it: weights that are not those of this log and policy say nothing of its value


@dataclass(frozen=True)
class WeightCheck:
    """Diagnostics of the weights w = π(a|x) / p(a|x). All are float [...] for logs [..., rows].

    Attributes:
        effective_rows: Kish's effective sample size, (Σ w)² / Σ w².
        effective_clusters: the same of the weights' sums by cluster.
        largest: the largest weight.
        largest_share: of the whole weight, that of the heaviest row.
        zero_share: rows whose action the target policy never takes.
        mean: Σ w / rows. 1 in expectation where the propensities are right and the logging policy takes every action
            that the target policy takes; 1 − mean estimates the part of the target policy that the log never shows.
        mean_low, mean_high: 95 % interval of it.
        mean_p_value: of "the expectation is 1".

    """

    effective_rows: np.ndarray
    effective_clusters: np.ndarray
    largest: np.ndarray
    largest_share: np.ndarray
    zero_share: np.ndarray
    mean: np.ndarray
    mean_low: np.ndarray
    mean_high: np.ndarray
    mean_p_value: np.ndarray

    @classmethod
    def of(cls, weights: np.ndarray, clusters: Clusters) -> WeightCheck:
        """Check the weights, float [..., rows]."""
        mean = weights.mean(axis=-1)
        influence = weights - mean[..., None]
        interval: Interval = influence_interval(influence, clusters)
        return cls(
            effective_rows=kish(weights),
            effective_clusters=kish(clusters.sums(weights)),
            largest=weights.max(axis=-1),
            largest_share=_share(weights),
            zero_share=(weights == 0).mean(axis=-1),
            mean=mean,
            mean_low=mean + interval.low,
            mean_high=mean + interval.high,
            mean_p_value=studentised_mean_p_value(influence, mean - 1, clusters),
        )

    @cached_property
    def supports_intervals(self) -> np.ndarray:
        """Whether 95 % intervals mean 95 %: the mean weight can be 1, and enough clusters carry it. bool [...]"""
        return np.asarray((self.effective_clusters >= FEWEST_EFFECTIVE) & ~(self.mean_p_value < REFUTED_P_VALUE))

    def warnings(self) -> list[str]:
        """What is wrong with the weights of one log, in words."""
        found = []
        if not self.effective_clusters >= FEWEST_EFFECTIVE:
            found.append(
                f"only {float(self.effective_clusters):.1f} effective independent units: intervals are not to be "
                f"believed below {FEWEST_EFFECTIVE:g}; log more, or judge a policy nearer to the logging policy"
            )
        if self.mean_p_value < SUSPICIOUS_P_VALUE:
            short = float(self.mean) < 1
            reason = (
                "the target policy takes actions that the log never shows, or the propensities are too high"
                if short
                else "the propensities are too low, or of a choice among more items than the target policy's"
            )
            found.append(
                f"the mean weight is {float(self.mean):.3f}, not 1 (p = {float(self.mean_p_value):.2g}): {reason}"
            )
        if self.largest_share > 0.1:
            found.append(f"one row carries {float(self.largest_share):.0%} of the weight")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON; None for an infinite end."""
        return {name: finite(value) for name, value in asdict(self).items()}


def kish(weights: np.ndarray) -> np.ndarray:
    """(Σ w)² / Σ w² over the last axis, 0 without weight. Kish, "Survey Sampling" (1965)."""
    squares = np.square(weights).sum(axis=-1)
    size: np.ndarray = np.square(weights.sum(axis=-1)) / np.where(squares > 0, squares, 1.0)
    return size


def _share(weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=-1)
    share: np.ndarray = weights.max(axis=-1) / np.where(total > 0, total, 1.0)
    return share
