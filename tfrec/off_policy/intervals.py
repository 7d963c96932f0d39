"""Intervals of a mean whose terms are skewed and heavy-tailed, as importance-weighted rewards are.

The t interval misses on one side: where a few large weights are still to come, the estimate is low and its standard
error small at the same time. Hall's transformation takes the skewness out, but its own noise misses where the terms are
symmetric. Each end is therefore the farther of the two, which measured best (benchmarks/off_policy_coverage.py). An
empirical Bernstein bound would hold at any sample size, but covers in practically all runs and is several times wider.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from tfrec.off_policy.clusters import Clusters

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """Of a mean, relative to its estimate: the truth is taken to lie in [value + low, value + high]."""

    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray


def finite(number: np.ndarray) -> float | None:
    """A plain number for JSON, which knows no infinite ones."""
    return float(number) if np.isfinite(number) else None


def influence_interval(influence: np.ndarray, clusters: Clusters, confidence: float = CONFIDENCE) -> Interval:
    """Interval of an estimate from what each row moves it by.

    With ψ_i the influence of row i (mean 0 over the rows) and u_c = (clusters / rows) Σ_{i in c} ψ_i, the estimate's
    error is the mean of the independent u_c: standard error s / √G for G clusters, s² = Σ u_c² / (G − 1).

    Args:
        influence: float [..., rows]; leading axes are separate logs.
        clusters: of the rows.
        confidence: of the interval.

    Returns:
        Arrays [...]; infinite ends for a single cluster, which says nothing about its own variation.

    Source: Hall, "On the removal of skewness by transformation" (1992); cluster-robust: Liang and Zeger (1986).

    """
    count = len(clusters)
    sums = clusters.sums(influence) * (count / clusters.rows)
    if count < 2:
        unknown = np.full(sums.shape[:-1], np.inf)
        return Interval(unknown, -unknown, unknown)
    square = np.square(sums).mean(axis=-1)
    error = np.sqrt(square / (count - 1))
    quantile = stats.t.ppf((1 + confidence) / 2, count - 1)
    skewness = _skewness(sums, square)
    # The studentised error T is below the quantile q in as many logs as its transform g(T) is, so T < g⁻¹(q).
    low = -error * np.maximum(quantile, hall_inverse(quantile, skewness, count))
    high = -error * np.minimum(-quantile, hall_inverse(-quantile, skewness, count))
    return Interval(error, low, high)


def studentised_mean_p_value(influence: np.ndarray, mean: np.ndarray, clusters: Clusters) -> np.ndarray:
    """Two-sided p value of "the true mean is 0", where rows have this mean and influence: float [...].

    The larger of the t test's and of the one on Hall's transform, as the interval is the wider of the two.
    """
    count = len(clusters)
    if count < 2:
        return np.ones(influence.shape[:-1])
    sums = clusters.sums(influence) * (count / clusters.rows)
    square = np.square(sums).mean(axis=-1)
    error = np.sqrt(square / (count - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = np.where(error > 0, mean / error, np.where(np.abs(mean) < 1e-9, 0.0, np.inf))
    finite = np.where(np.isfinite(plain), plain, 0.0)
    moved = np.where(np.isfinite(plain), hall_transform(finite, _skewness(sums, square), count), plain)
    return 2 * stats.t.sf(np.minimum(np.abs(plain), np.abs(moved)), count - 1)


def hall_transform(t: np.ndarray, skewness: np.ndarray, count: int) -> np.ndarray:
    """g(t) = t + γ (t²/3 + 1/6) / √n + γ² t³ / (27 n): monotone, its distribution normal up to order 1/n."""
    slope = skewness / np.sqrt(count)
    moved: np.ndarray = t + slope * (t * t / 3 + 1 / 6) + slope**2 * t**3 / 27
    return moved


def hall_inverse(x: float, skewness: np.ndarray, count: int) -> np.ndarray:
    """The t with `hall_transform(t) = x`."""
    slope = np.asarray(skewness / np.sqrt(count))
    is_skewed = np.abs(slope) > 1e-8
    safe = np.where(is_skewed, slope, 1.0)
    return np.where(is_skewed, 3 / safe * (np.cbrt(1 + safe * (x - safe / 6)) - 1), x)


def _skewness(sums: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Of terms with mean 0 and this mean square; a product, since powers of an array cost ten times as much."""
    third = np.einsum("...i,...i,...i->...", sums, sums, sums) / sums.shape[-1]
    skewness: np.ndarray = np.where(square > 0, third / np.where(square > 0, square, 1.0) ** 1.5, 0.0)
    return skewness
