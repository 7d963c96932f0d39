"""Detectable effects and needed users, against simulated tests."""

import numpy as np
import pytest
from scipy import stats

from tfrec.certainty import (
    minimum_detectable_effect,
    minimum_detectable_effect_between,
    users_needed,
    users_needed_between,
)
from tfrec.errors import ConfigError, DataError

RUNS = 4000


def within(share, power):
    """Whether a share of RUNS tests can be the power; the closed form itself is off by less than 0.01."""
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], RUNS, [power - 0.01, power + 0.01])
    return low <= share * RUNS <= high


@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_a_paired_test_finds_the_detectable_effect_with_its_power(power):
    rng = np.random.default_rng(0)
    differences = stats.zscore(rng.normal(size=200), ddof=1) * 0.3
    effect = minimum_detectable_effect(differences, power=power)
    found = stats.ttest_1samp(rng.normal(effect, 0.3, (RUNS, 200)), 0, axis=1).pvalue < 0.05
    assert within(found.mean(), power)


@pytest.mark.parametrize("power", [0.5, 0.8])
def test_a_test_between_groups_finds_the_detectable_effect_with_its_power(power):
    rng = np.random.default_rng(1)
    a, b = stats.zscore(rng.normal(size=300), ddof=1), 2 * stats.zscore(rng.normal(size=150), ddof=1)
    effect = minimum_detectable_effect_between(a, b, power=power, alpha=0.1)
    samples = rng.normal(0, 1, (RUNS, 300)), rng.normal(effect, 2, (RUNS, 150))
    found = stats.ttest_ind(*samples, axis=1, equal_var=False).pvalue < 0.1
    assert within(found.mean(), power)


def test_with_the_needed_users_the_test_has_its_power():
    rng = np.random.default_rng(2)
    pilot = stats.zscore(rng.normal(size=50), ddof=1)
    paired, each = users_needed(pilot, 0.2), users_needed_between(pilot, 0.2)
    assert (paired, each) == (197, 393)  # (1.960 + 0.842)² / 0.2² = 196.2, and twice that
    found = stats.ttest_ind(rng.normal(0, 1, (RUNS, each)), rng.normal(0.2, 1, (RUNS, each)), axis=1).pvalue < 0.05
    assert within(found.mean(), 0.8)


def test_needed_users_and_detectable_effect_are_each_others_inverse():
    differences = np.random.default_rng(3).lognormal(size=500)
    assert users_needed(differences, minimum_detectable_effect(differences) * (1 + 1e-9)) == 500
    assert users_needed(differences, -minimum_detectable_effect(differences) * (1 + 1e-9)) == 500


def test_users_without_a_value_do_not_count():
    values = np.array([1.0, 2.0, np.nan, 4.0])
    assert minimum_detectable_effect(values) == minimum_detectable_effect(values[[0, 1, 3]])


@pytest.mark.parametrize("keywords", [{"alpha": 0.0}, {"power": 1.0}, {"power": 0.04}])
def test_levels_that_are_none_are_refused(keywords):
    with pytest.raises(ConfigError, match="0 < alpha < power < 1"):
        minimum_detectable_effect(np.arange(5.0), **keywords)


def test_no_effect_and_no_users_are_refused():
    with pytest.raises(ConfigError, match="not 0"):
        users_needed(np.arange(5.0), 0.0)
    with pytest.raises(DataError, match="1 users have a value"):
        minimum_detectable_effect(np.array([1.0, np.nan]))
