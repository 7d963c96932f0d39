"""Intervals of means over users, by a bootstrap that can be fed in parts and merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import norm, t

from tfrec.certainty.checks import checked_confidence, checked_values
from tfrec.certainty.draws import COUNTS_IN_HASH, poisson_counts, resampled_sums, user_keys
from tfrec.errors import ConfigError, DataError

METHODS = ("bca", "percentile")
USERS_AT_ONCE = 2**15  # bounds the memory


@dataclass(frozen=True)
class Interval:
    """A mean over users and where the true one lies; floats, or float [metrics] for values with a metrics axis.

    Attributes:
        mean: of the users that have a value
        low: NaN with fewer than two such users
        high: likewise
        users: those that have a value
        missing: those that have none (NaN), left out
        confidence: share of such intervals that hold the true mean

    """

    mean: Any
    low: Any
    high: Any
    users: Any
    missing: Any
    confidence: float = 0.95


def bootstrap_mean(
    values: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    users: np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    method: str = "bca",
) -> Interval:
    """Return the mean over users, and its bootstrap interval.

    θ = Σ w v / Σ w; resample r has θ_r = Σ c w v / Σ c w with c ~ Poisson(1) for each user (Chamandy et al. 2012).
    A ratio of totals Σ a / Σ b, such as an AUC weighted by impressions, is values a / b with weights b.

    `bca` corrects percentiles for bias and skewness (Efron 1987) and for small samples (Hesterberg 2015);
    docs/certainty.md says why it is the default. Values that are all equal have an interval of no width: 50 users
    without a single hit don't show that there are none.

    Args:
        values: of a user, NaN for none. float [users] or [users, metrics]
        weights: not negative. float [users], or as values
        users: distinct user indices, to which the draws belong; by default the position. With them the interval does
            not depend on the order of the users. int [users]
        confidence: of the interval, above 0 and below 1
        resamples: more make the interval's ends less random
        seed: of the draws
        method: `bca` or `percentile`

    Raises:
        ConfigError: a setting is out of range.
        DataError: shapes differ, or values are infinite, or weights negative.

    """
    values = np.asarray(values, np.float64)
    table, _ = checked_values(values, weights)
    first = table[:USERS_AT_ONCE]
    origin = np.nansum(first, axis=0) / np.maximum(1, (~np.isnan(first)).sum(axis=0))
    sums = BootstrapSums(resamples=resamples, seed=seed, origin=origin)
    sums.add(values, users=np.arange(len(values)) if users is None else users, weights=weights)
    return sums.interval(confidence=confidence, method=method)


@dataclass
class BootstrapSums:
    """The sums that a bootstrap interval needs: add users in parts, on several machines, and merge.

    Any split of the same users into parts gives the same interval, but for rounding.

    Attributes:
        resamples: as of `bootstrap_mean`
        seed: likewise
        origin: a number near the mean, subtracted while summing, for values whose mean is far above their spread

    """

    resamples: int = 1000
    seed: int = 0
    origin: Any = 0.0
    _parts: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    _has_metrics: bool | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ConfigError(f"resamples: got {self.resamples}; allowed: from 1, and from 1000 for 95 % intervals")

    def add(self, values: np.ndarray, *, users: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Add users that were not added before; arguments as of `bootstrap_mean`."""
        table, table_weights = checked_values(values, weights, users)
        keys = user_keys(users, self.seed)
        for first in range(0, max(1, len(table)), USERS_AT_ONCE):
            some = slice(first, first + USERS_AT_ONCE)
            self._collect(self._sums_of(table[some], table_weights[some], keys[some]), has_metrics=np.ndim(values) == 2)

    def merge(self, other: BootstrapSums) -> None:
        """Add the users of another part, of the same seed.

        Raises:
            ConfigError: seed, resamples or origin differ.

        """
        for name in ("resamples", "seed", "origin"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if not np.array_equal(mine, theirs):
                raise ConfigError(f"{name}: got {mine} and {theirs}; only parts with the same one can be merged")
        if other._parts:
            self._collect(other._parts, has_metrics=bool(other._has_metrics))

    def interval(self, *, confidence: float = 0.95, method: str = "bca") -> Interval:
        """Return the interval of all users added so far; arguments as of `bootstrap_mean`."""
        checked_confidence(confidence)
        if method not in METHODS:
            raise ConfigError(f"method: got {method!r}; allowed: {', '.join(METHODS)}")
        if not self._parts:
            raise DataError("no users were added; add their values first")
        parts = self._parts
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = parts["moments"][0] / parts["moments"][1]
            means = parts["totals"] / parts["weights"]  # NaN in a resample that drew no user with a value
        ends = np.array(
            [
                _ends(
                    means[:, m], mean[m], parts["users"][m], _acceleration(parts["moments"][:, m]), confidence, method
                )
                for m in range(len(mean))
            ]
        )
        found = [mean + self.origin, *(ends.T + self.origin), parts["users"], parts["missing"]]
        if not self._has_metrics:
            found = [array[0].item() for array in found]
        mean, low, high, users, missing = found
        return Interval(mean, low, high, users, missing, confidence)

    def _sums_of(self, table: np.ndarray, weights: np.ndarray, keys: np.ndarray) -> dict[str, np.ndarray]:
        is_there = ~np.isnan(table)
        weight = np.where(is_there, weights, 0.0)
        total = np.where(is_there, table - self.origin, 0.0) * weight
        is_shared = (weight == weight[:, :1]).all()  # then one column of weights serves all metrics
        drawn = np.hstack([total, weight[:, :1] if is_shared else weight])
        sums = resampled_sums(poisson_counts, COUNTS_IN_HASH, drawn, keys, self.resamples)
        metrics = table.shape[1]
        return {
            "totals": sums[:, :metrics],
            "weights": np.broadcast_to(sums[:, metrics:], (self.resamples, metrics)),
            "moments": _moments(total, weight),
            "users": is_there.sum(axis=0),
            "missing": (~is_there).sum(axis=0),
        }

    def _collect(self, parts: dict[str, np.ndarray], *, has_metrics: bool) -> None:
        if not self._parts:
            self._parts = {name: np.array(part) for name, part in parts.items()}
            self._has_metrics = has_metrics
            return
        if self._has_metrics != has_metrics or self._parts["users"].shape != parts["users"].shape:
            raise DataError("the parts have different metrics; every part needs the same columns")
        for name, part in parts.items():
            self._parts[name] += part


def _moments(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sums over users of a, w, a², a w, w², a³, a² w, a w², w³, a = w v. float [9, metrics]"""
    squares, products, weights_squared = total * total, total * weight, weight * weight
    cubes = [(squares, total), (squares, weight), (weights_squared, total), (weights_squared, weight)]
    return np.stack(
        [
            *(part.sum(axis=0) for part in (total, weight, squares, products, weights_squared)),
            *(np.einsum("um,um->m", one, other) for one, other in cubes),
        ]
    )


def _acceleration(moments: np.ndarray) -> float:
    """A sixth of the skewness of the users' influence w (v − θ) on the mean; 0 where they do not differ."""
    a, w, aa, aw, ww, aaa, aaw, aww, www = moments
    mean = a / w if w else 0.0
    squares = aa - 2 * mean * aw + mean**2 * ww
    cubes = aaa - 3 * mean * aaw + 3 * mean**2 * aww - mean**3 * www
    return cubes / (6 * squares**1.5) if squares > 1e-12 * aa else 0.0


def _ends(
    means: np.ndarray, mean: float, users: int, acceleration: float, confidence: float, method: str
) -> np.ndarray:
    means = means[~np.isnan(means)]
    if users < 2 or not len(means):
        return np.full(2, np.nan)
    sides = np.array([1 - confidence, 1 + confidence]) / 2
    if method == "bca":
        z = np.sqrt(users / (users - 1)) * t.ppf(sides, users - 1)  # percentiles are too narrow by this much
        apart = np.where(np.abs(means - mean) > 1e-12 * means.std(), means - mean, 0.0)  # rounding decides no tie
        below = (1 - np.sign(apart).mean()) / 2
        bias = norm.ppf(np.clip(below, 0.5 / len(means), 1 - 0.5 / len(means)))
        sides = norm.cdf(bias + (bias + z) / np.maximum(1 - acceleration * (bias + z), 1e-9))
    return np.quantile(means, sides)
