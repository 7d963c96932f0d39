"""Two models on the same users: how much they differ, and whether that can be chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_1samp, wilcoxon

from tfrec.certainty.bootstrap import bootstrap_mean
from tfrec.certainty.checks import checked_values
from tfrec.certainty.sign_flip import sign_flip_p_values
from tfrec.errors import ConfigError, DataError

TESTS = ("sign_flip", "t", "wilcoxon")


@dataclass(frozen=True)
class Comparison:
    """Model a against model b over the users that both have a value for.

    Attributes:
        difference: mean of a − b
        low: of the difference's bootstrap interval
        high: likewise
        p_value: two-sided, of no difference
        effect: mean of a − b over its standard deviation (Cohen's d of pairs); 0 where no user differs
        users: that were compared
        missing: left out, for a or b has no value
        wins: users for whom a is better
        ties: users with the same value
        losses: users for whom b is better
        test: that gave the p-value

    """

    difference: float
    low: float
    high: float
    p_value: float
    effect: float
    users: int
    missing: int
    wins: int
    ties: int
    losses: int
    test: str


def paired_comparison(
    a: np.ndarray,
    b: np.ndarray,
    *,
    users_a: np.ndarray | None = None,
    users_b: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    test: str = "sign_flip",
    confidence: float = 0.95,
    resamples: int = 1000,
    flips: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same users.

    The interval is a bootstrap over users of d = a − b. The p-value is of

    - `sign_flip`: if the models are the same, the sign of each user's d is a coin (Fisher 1935). All 2^n signs for up
      to 16 users that differ, else `flips` random ones, of which p is never below 1 / (flips + 1).
    - `t`: Student's, for the mean of d; next to `sign_flip` with many users and the fastest.
    - `wilcoxon`: signed ranks without ties; asks whether d is symmetric about 0, not whether its mean is 0.

    Args:
        a: of a user, NaN for none. float [users]
        b: likewise, of the same users in the same order. float [users]
        users_a: user indices, to be sure of it. int [users]
        users_b: likewise. int [users]
        weights: not negative, for means weighted by it, by `sign_flip` only. float [users]
        test: one of these
        confidence: of the interval
        resamples: of the bootstrap
        flips: of the randomisation test
        seed: of both

    Raises:
        ConfigError: a setting is out of range.
        DataError: the users differ, or no user has both values.

    """
    if test not in TESTS:
        raise ConfigError(f"test: got {test!r}; allowed: {', '.join(TESTS)}")
    if weights is not None and test != "sign_flip":
        raise ConfigError(f"test: {test!r} knows no weights; use sign_flip")
    a, b = same_users(a, b, users_a, users_b)
    keys = np.arange(len(a)) if users_a is None else np.asarray(users_a)
    _, weight = checked_values(a, weights)
    is_there = ~np.isnan(a) & ~np.isnan(b)
    if not is_there.any():
        raise DataError(f"no user of {len(a):,} has a value of both models; compare the same metric on the same set")
    difference, weight, keys = (a - b)[is_there], weight[is_there, 0], keys[is_there]
    interval = bootstrap_mean(
        difference, weights=weight, users=keys, confidence=confidence, resamples=resamples, seed=seed
    )
    return Comparison(
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p_value=_p_value(test, difference, weight, keys, flips, seed),
        effect=effect_size(difference),
        users=len(difference),
        missing=int((~is_there).sum()),
        wins=int((difference > 0).sum()),
        ties=int((difference == 0).sum()),
        losses=int((difference < 0).sum()),
        test=test,
    )


def same_users(
    a: np.ndarray, b: np.ndarray, users_a: np.ndarray | None, users_b: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64 [users].

    Raises:
        DataError: they are not of the same users in the same order.

    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise DataError(
            f"got values of shapes {a.shape} and {b.shape}; a comparison needs both models on the same users"
        )
    if users_a is None and users_b is None:
        return a, b
    if users_a is None or users_b is None:
        raise DataError("users are given of one model only; give those of both")
    if not np.array_equal(users_a, users_b):
        both = len(np.intersect1d(users_a, users_b))
        reason = (
            "the same users in another order; sort both by user"
            if both == len(a)
            else (f"{both:,} of {len(a):,} users are in both; evaluate both models on the same set")
        )
        raise DataError(f"different users: {reason}")
    return a, b


def effect_size(difference: np.ndarray) -> float:
    """Return mean / standard deviation, over users. float [users] -> float"""
    mean = difference.mean()
    if mean == 0 or len(difference) < 2:
        return 0.0
    with np.errstate(divide="ignore"):
        return float(mean / difference.std(ddof=1))


def _p_value(test: str, difference: np.ndarray, weight: np.ndarray, keys: np.ndarray, flips: int, seed: int) -> float:
    if not difference.any():
        return 1.0
    if test == "sign_flip":
        return float(sign_flip_p_values((weight * difference)[:, None], keys, flips=flips, seed=seed)[0])
    if test == "wilcoxon":
        return float(wilcoxon(difference).pvalue)
    return float(ttest_1samp(difference, 0.0).pvalue)
