"""Distances between two distributions, and the common bins over which two numeric features are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

MAX_BINS = 32


def linf_distance(p: np.ndarray, q: np.ndarray) -> float:
    """L∞ distance max |pᵢ − qᵢ| of two distributions over the same values, in [0, 1].

    Args:
        p: counts or shares, not all 0. float [n]
        q: likewise.

    """
    return float(np.abs(_shares(p) - _shares(q)).max())


def jensen_shannon_divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen–Shannon divergence in bits: ½ KL(p ‖ m) + ½ KL(q ‖ m), m = ½ (p + q); in [0, 1].

    Source: Lin, "Divergence measures based on the Shannon entropy" (1991), equation 4.1 with equal weights. It is the
    square of what SciPy calls the Jensen–Shannon distance.

    Args:
        p: counts or shares, not all 0. float [n]
        q: likewise.

    """
    p, q = _shares(p), _shares(q)
    m = (p + q) / 2
    # x log x is 0 at 0.
    terms = [np.sum(d * np.log2(np.where(d > 0, d, 1) / np.where(d > 0, m, 1))) for d in (p, q)]
    return float(np.clip(sum(terms) / 2, 0.0, 1.0))


def token_counts(a: Mapping[str, int], b: Mapping[str, int], rest_a: int, rest_b: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of every token of either side, in one order; what is in no vocabulary is one more token at the end."""
    tokens = sorted(a.keys() | b.keys())
    counts = [np.array([side.get(token, 0) for token in tokens] + [rest]) for side, rest in ((a, rest_a), (b, rest_b))]
    return counts[0], counts[1]


class Cumulative:
    """The cumulative distribution of a numeric feature, from the points in statistics.json."""

    def __init__(self, values: Sequence[float], counts: Sequence[float]) -> None:
        self.values = np.asarray(values, np.float64)
        self._up_to = np.concatenate([[0.0], np.cumsum(np.asarray(counts, np.float64))])

    @property
    def total(self) -> float:
        return float(self._up_to[-1])

    def share_up_to(self, points: np.ndarray) -> np.ndarray:
        """Share of the rows at or below each point: exact at the own points, between them low by at most one step."""
        return self._up_to[np.searchsorted(self.values, points, side="right")] / self.total

    def shares_between(self, edges: np.ndarray) -> np.ndarray:
        """Shares of the rows in (−∞, e₀], (e₀, e₁], … for edges whose last is not below the largest value."""
        return np.diff(self.share_up_to(edges), prepend=0.0)


def common_edges(a: Cumulative, b: Cumulative, max_bins: int = MAX_BINS) -> np.ndarray:
    """Upper edges of bins for both: every value of its own if they are few, else of equal weight in ½ (a + b)."""
    points = np.union1d(a.values, b.values)
    if len(points) <= max_bins:
        return points
    mixture = (a.share_up_to(points) + b.share_up_to(points)) / 2
    at = np.searchsorted(mixture, np.arange(1, max_bins) / max_bins - 1e-12)
    return np.unique(np.append(points[np.minimum(at, len(points) - 1)], points[-1]))


def _shares(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    return counts / counts.sum()
