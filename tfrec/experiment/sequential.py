"""Intervals and p-values that hold at all looks at once, so that one may look daily and stop when one likes.

The normal-mixture confidence sequence of an average of n users with error V = σ² / n (Robbins 1970; Johari et al. 2017;
asymptotically for any distribution, Waudby-Smith et al. 2024, theorem 2.2):

    half width = √(V (n ρ² + 1) / (n ρ²) · (log(n ρ² + 1) + 2 log(1 / α)))
    p          = √(n ρ² + 1) · exp(−½ (δ² / V) · n ρ² / (n ρ² + 1)), at most 1

ρ makes it tightest at a number of users that is set before the start. There, at α = 0.05, it is 1.55 times as wide as
an interval for a single look; with a tenth of the users 1.26 times wider still, with ten times as many 1.07 times.
Choosing the number by the data would cost the guarantee.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scipy.special import lambertw

FEWEST_USERS = 100  # of each variant, before the first look: the guarantee is asymptotic


@dataclass(frozen=True)
class Look:
    """What is known at one look.

    Attributes:
        users: of both variants
        difference: variant − control
        low: of the interval that holds at all looks
        high: likewise
        p_value: always valid: the smallest of all looks so far
        time_ms: when the last of these users' values were known

    """

    users: int
    difference: float
    low: float
    high: float
    p_value: float
    time_ms: int | None = None

    def after(self, before: Look) -> Look:
        """The same, knowing what the look before has said."""
        return replace(self, p_value=min(self.p_value, before.p_value))


def look(
    difference: float,
    standard_error: float,
    users: int,
    *,
    planned_users: int,
    alpha: float = 0.05,
    time_ms: int | None = None,
) -> Look:
    """Return the interval and p-value at one look.

    Args:
        difference: variant − control
        standard_error: of it, as estimated from these users
        users: of both variants
        planned_users: at which the interval is to be tightest
        alpha: probability that any of the intervals misses
        time_ms: of the look

    """
    grown = users * mixture_variance(planned_users, alpha)
    if standard_error == 0:
        return Look(users, difference, difference, difference, 1.0 if difference == 0 else 0.0, time_ms)
    half = standard_error * math.sqrt((grown + 1) / grown * (math.log1p(grown) - 2 * math.log(alpha)))
    evidence = 0.5 * (difference / standard_error) ** 2 * grown / (grown + 1) - 0.5 * math.log1p(grown)
    return Look(users, difference, difference - half, difference + half, math.exp(-max(0.0, evidence)), time_ms)


def mixture_variance(planned_users: int, alpha: float) -> float:
    """Return ρ² = (−W₋₁(−α² / e) − 1) / users, which makes the interval tightest there (W: Lambert's function)."""
    return float(-lambertw(-(alpha**2) / math.e, k=-1).real - 1) / planned_users
