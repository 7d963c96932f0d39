"""p-values of several comparisons at once, made comparable with the level that one alone would have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfrec.errors import DataError


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return adjusted p-values: those ≤ α name a false difference with probability ≤ α, however they depend.

    Sorted p₁ ≤ … ≤ p_m: p̃_i = max over j ≤ i of min(1, (m − j + 1) p_j). Holm 1979. NaN stays NaN and is not counted.
    """
    return _stepped(p_values, lambda ranks, count: count - ranks + 1, np.maximum.accumulate)


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Return adjusted p-values: of those ≤ α, a share ≤ α is expected to be false.

    For p-values that are independent or positively dependent (Benjamini & Hochberg 1995).
    Sorted p₁ ≤ … ≤ p_m: p̃_i = min over j ≥ i of min(1, m p_j / j). NaN stays NaN.
    """
    return _stepped(
        p_values, lambda ranks, count: count / ranks, lambda grown: np.minimum.accumulate(grown[::-1])[::-1]
    )


def _stepped(
    p_values: np.ndarray,
    factors: Callable[[np.ndarray, int], np.ndarray],
    accumulated: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    p = np.asarray(p_values, np.float64)
    known = p[~np.isnan(p)]
    if ((known < 0) | (known > 1)).any():
        raise DataError(f"p-values: got {known.min():.3g} to {known.max():.3g}; allowed: 0 to 1")
    order = np.argsort(known, kind="stable")
    steps = accumulated(known[order] * factors(np.arange(1, len(known) + 1), len(known)))
    adjusted = np.empty_like(known)
    adjusted[order] = np.minimum(steps, 1.0)
    found = p.copy()
    found[~np.isnan(p)] = adjusted
    return found
