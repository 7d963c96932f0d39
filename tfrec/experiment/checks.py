"""Is the experiment itself sound: were users assigned as planned, and are covariates from before it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import chisquare

from tfrec.errors import ConfigError, did_you_mean
from tfrec.experiment.effect import arm, effect
from tfrec.experiment.users import ExperimentUsers

SUSPICIOUS = 0.001  # p-values below this are taken for a fault of the experiment (Fabijan et al. 2019)


def sample_ratio_p_value(counts: Sequence[int], expected_shares: Sequence[float]) -> float:
    """Return the chi-squared test's p-value of users per variant against the planned shares."""
    shares = np.asarray(expected_shares, np.float64)
    return float(chisquare(counts, np.sum(counts) * shares / shares.sum()).pvalue)


def expected_shares(variants: Sequence[str], split: Mapping[str, float] | None) -> list[float]:
    """Return the planned share of each variant, equal ones if `split` is None.

    Raises:
        ConfigError: a variant has no share, a share belongs to no variant, or one is not positive.

    """
    if split is None:
        return [1.0 / len(variants)] * len(variants)
    for name, share in split.items():
        if name not in variants:
            raise ConfigError(f"split: no variant {name!r} in the log{did_you_mean(name, variants)}")
        if not share > 0:
            raise ConfigError(f"split: got {share} for {name!r}; allowed: above 0")
    if missing := [name for name in variants if name not in split]:
        raise ConfigError(f"split: no share for {', '.join(missing)}; give one for every variant of the log")
    total = sum(split.values())
    return [split[name] / total for name in variants]


def balance_p_value(users: ExperimentUsers, covariate: str, control: str, variant: str) -> float:
    """Return Welch's p-value of a covariate's difference, which is 0 before an experiment has done anything."""
    values = users.covariates[covariate]
    is_known = ~np.isnan(values)
    sides = [values[is_known & (users.variant == users.variants.index(name))] for name in (control, variant)]
    if min(len(side) for side in sides) < 2:
        return 1.0
    return effect(arm(sides[0]), arm(sides[1])).p_value
