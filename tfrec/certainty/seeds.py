"""One model trained with several seeds: how far its metric moves with the seed, and with the users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from tfrec.certainty.checks import checked_confidence
from tfrec.errors import DataError


@dataclass(frozen=True)
class SeedSummary:
    """A mean over seeds and users, and where the true one lies.

    Attributes:
        mean: over seeds and users
        low: of the interval for other seeds and other users
        high: likewise
        seeds: number of them
        users: that have a value with every seed
        seed_deviation: standard deviation of the seeds' means
        user_error: standard error that users alone would give
        widening: of the interval, because so few seeds say little about their spread; 1 for none

    """

    mean: float
    low: float
    high: float
    seeds: int
    users: int
    seed_deviation: float
    user_error: float
    widening: float


def seed_summary(values: np.ndarray, *, confidence: float = 0.95) -> SeedSummary:
    """Return the mean over seeds × users, and its interval. `values` of two models' difference compares them.

    value = μ + seed + user + rest, seeds and users both drawn at random, the users the same for all seeds (so that a
    bootstrap of users within each seed would forget what users have in common). With S seeds and U users

        V_seeds = max(0, s²(seed means) / S − s²(rest) / (S U)),    V_users = s²(user means) / U
        half width² = t²_{S−1} V_seeds + t²_{U−1} V_users

    in the way of Howe (1974). With 3 seeds t is 4.3, not 1.96; with 2 it is 12.7, and the interval still holds the
    truth a little less often than it says, as docs/certainty.md tells.

    Args:
        values: of a user with a seed, NaN for none. float [seeds, users]
        confidence: of the interval

    Raises:
        DataError: fewer than two seeds, or fewer than two users with a value of every seed.

    """
    table = np.asarray(values, np.float64)
    checked_confidence(confidence)
    if table.ndim != 2 or len(table) < 2:
        raise DataError(f"values: got shape {table.shape}; allowed: [seeds, users] with at least two seeds")
    table = table[:, ~np.isnan(table).any(axis=0)]
    seeds, users = table.shape
    if users < 2 or np.isinf(table).any():
        raise DataError(f"values: {users} users have a finite value of every seed; at least two are needed")
    mean, of_seed, of_user = table.mean(), table.mean(axis=1), table.mean(axis=0)
    rest = table - of_seed[:, None] - of_user + mean
    rest_variance = (rest**2).sum() / ((seeds - 1) * (users - 1))
    user_variance = of_user.var(ddof=1) / users
    seed_variance = max(0.0, of_seed.var(ddof=1) / seeds - rest_variance / (seeds * users))
    side = (1 + confidence) / 2
    half = np.sqrt(t.ppf(side, seeds - 1) ** 2 * seed_variance + t.ppf(side, users - 1) ** 2 * user_variance)
    with_many = norm.ppf(side) * np.sqrt(seed_variance + user_variance)
    return SeedSummary(
        mean=float(mean),
        low=float(mean - half),
        high=float(mean + half),
        seeds=seeds,
        users=users,
        seed_deviation=float(of_seed.std(ddof=1)),
        user_error=float(np.sqrt(user_variance)),
        widening=float(half / with_many) if with_many > 0 else 1.0,
    )
