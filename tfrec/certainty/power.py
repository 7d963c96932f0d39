"""How small a difference a test can see, and how many users it needs to see a given one."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm

from tfrec.errors import ConfigError, DataError


def minimum_detectable_effect(differences: np.ndarray, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the difference of means that a paired test on as many users finds with this power.

    (z_{1−α/2} + z_power) s_d / √n (Cohen 1988), s_d the standard deviation of a user's difference.

    Args:
        differences: of two models for a user, NaN for none. float [users]
        power: probability to find it
        alpha: level of the two-sided test

    Raises:
        ConfigError: power or alpha is out of range.
        DataError: fewer than two users have a value.

    """
    known = _known(differences)
    return detectable_errors(power, alpha) * float(known.std(ddof=1)) / math.sqrt(len(known))


def users_needed(differences: np.ndarray, effect: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return how many users a paired test needs to find `effect`; arguments and errors as above."""
    return _users(_known(differences).var(ddof=1), effect, power, alpha)


def minimum_detectable_effect_between(
    a: np.ndarray, b: np.ndarray, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Return the difference of means that a test between two groups of users, such as an A/B test, finds.

    (z_{1−α/2} + z_power) √(s_a² / n_a + s_b² / n_b)

    Args:
        a: of a user of one group, NaN for none. float [users of a]
        b: of a user of the other. float [users of b]
        power: probability to find it
        alpha: level of the two-sided test

    Raises:
        ConfigError: power or alpha is out of range.
        DataError: fewer than two users of a group have a value.

    """
    a, b = _known(a), _known(b)
    return detectable_errors(power, alpha) * math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))


def users_needed_between(values: np.ndarray, effect: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return how many users each of two groups of the same size needs to find `effect`.

    Args:
        values: of a user, of whichever group; only their spread counts. float [users]
        effect: difference of the groups' means
        power: probability to find it
        alpha: level of the two-sided test

    Raises:
        ConfigError: effect, power or alpha is out of range.
        DataError: fewer than two users have a value.

    """
    return _users(2 * _known(values).var(ddof=1), effect, power, alpha)


def _users(variance: float, effect: float, power: float, alpha: float) -> int:
    if not (math.isfinite(effect) and effect):
        raise ConfigError(f"effect: got {effect}; allowed: finite and not 0")
    return max(2, math.ceil(detectable_errors(power, alpha) ** 2 * variance / effect**2))


def detectable_errors(power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the detectable effect in standard errors, z_{1−α/2} + z_power: 2.80 by default."""
    if not (0 < alpha < 1 and alpha < power < 1):
        raise ConfigError(f"got alpha {alpha} and power {power}; allowed: 0 < alpha < power < 1")
    return float(norm.ppf(1 - alpha / 2) + norm.ppf(power))


def _known(values: np.ndarray) -> np.ndarray:
    array = np.asarray(values, np.float64)
    known = array[~np.isnan(array)]
    if len(known) < 2:
        raise DataError(f"{len(known)} users have a value; at least two are needed to know how they spread")
    return known
