"""Effects of an A/B test, against SciPy, least squares, numeric integration and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from tfrec.errors import DataError
from tfrec.experiment.checks import expected_shares, sample_ratio_p_value
from tfrec.experiment.effect import adjusted, arm, effect
from tfrec.experiment.sequential import look, mixture_variance


def two_groups(seed=0):
    rng = np.random.default_rng(seed)
    return rng.lognormal(0, 1, 80), rng.lognormal(0.2, 1.3, 130)


def test_a_difference_of_means_is_welchs_test():
    control, variant = two_groups()
    found = effect(arm(control), arm(variant), alpha=0.1)
    welch = stats.ttest_ind(variant, control, equal_var=False)
    bounds = welch.confidence_interval(0.9)
    assert found.control == pytest.approx(control.mean())
    assert found.variant == pytest.approx(variant.mean())
    assert found.difference == pytest.approx(variant.mean() - control.mean())
    assert found.p_value == pytest.approx(welch.pvalue)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high))


def test_the_error_of_a_ratio_is_what_leaving_out_users_one_by_one_says():
    rng = np.random.default_rng(1)
    impressions = 1.0 + rng.poisson(5 * rng.gamma(1, 1, 400))
    clicks = rng.binomial(impressions.astype(int), rng.beta(2, 18, 400)).astype(float)
    found = arm(clicks, impressions)
    assert found.estimate == pytest.approx(clicks.sum() / impressions.sum())
    left = [np.delete(clicks, u).sum() / np.delete(impressions, u).sum() for u in range(400)]
    jackknife = 399 / 400 * ((left - np.mean(left)) ** 2).sum()
    assert found.variance == pytest.approx(jackknife, rel=0.02)


def test_rows_of_one_user_are_not_taken_for_independent():
    """Every user has 10 rows that are all alike: the error is that of users, not of rows."""
    values = np.random.default_rng(2).random(100)
    assert arm(10 * values, np.full(100, 10.0)).variance == pytest.approx(arm(values).variance)


def test_the_lifts_interval_is_near_that_of_a_bootstrap():
    rng = np.random.default_rng(3)
    control, variant = rng.gamma(2, 1, 500), rng.gamma(2, 3.0, 700)
    found = effect(arm(control), arm(variant))
    draws = [rng.choice(variant, 700).mean() / rng.choice(control, 500).mean() - 1 for _ in range(4000)]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert found.lift == pytest.approx(variant.mean() / control.mean() - 1)
    assert (found.lift_low, found.lift_high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_the_lift_over_a_negative_control_has_the_differences_sign_and_over_zero_it_is_unknown():
    rng = np.random.default_rng(4)
    found = effect(arm(rng.normal(-5, 1, 100)), arm(rng.normal(-4, 1, 100)))
    assert found.difference > 0
    assert found.lift == pytest.approx(found.difference / 5, rel=0.1)
    assert found.lift_low < found.lift < found.lift_high
    assert np.isnan(effect(arm(rng.normal(0, 1, 100)), arm(rng.normal(1, 1, 100))).lift)


def test_values_that_do_not_differ_are_certain():
    same, other = arm(np.ones(5)), arm(np.full(7, 2.0))
    assert effect(same, same).p_value == 1
    found = effect(same, other)
    assert (found.low, found.high, found.p_value, found.lift) == (1, 1, 0, 1)


def test_too_few_users_and_empty_denominators_are_refused():
    with pytest.raises(DataError, match="1 users"):
        arm(np.ones(1))
    with pytest.raises(DataError, match="sum to 0"):
        arm(np.ones(3), np.zeros(3))


def test_cuped_is_the_coefficient_of_the_variant_in_least_squares_on_the_covariates():
    rng = np.random.default_rng(5)
    is_variant = rng.random(300) < 0.4
    x = rng.normal(size=(300, 2))
    y = 1 + x @ [2.0, -1.0] + 0.3 * is_variant + rng.normal(size=300)
    sides = [np.flatnonzero(is_variant == side) for side in (False, True)]
    control, variant = adjusted(arm(y[sides[0]]), arm(y[sides[1]]), (x[sides[0]], x[sides[1]]))
    design = np.column_stack([np.ones(300), is_variant, x])
    coefficients, residuals = np.linalg.lstsq(design, y, rcond=None)[:2]
    assert variant.estimate - control.estimate == pytest.approx(coefficients[1])
    levels = [len(sides[0]) * control.estimate + len(sides[1]) * variant.estimate, y.sum()]
    assert levels[0] == pytest.approx(levels[1])  # only the difference is adjusted, not the level of both
    error = np.sqrt(residuals[0] / 296 * np.linalg.inv(design.T @ design)[1, 1])
    assert effect(control, variant).standard_error == pytest.approx(error, rel=0.05)


def test_covariates_of_very_different_size_and_two_that_say_the_same_are_no_trouble():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2, 200, 2))
    y = x @ [1.0, 1.0] + rng.normal(size=(2, 200))
    expected = effect(*adjusted(arm(y[0]), arm(y[1]), (x[0], x[1])))
    scaled = x * [1e9, 1e-6]
    more = np.concatenate([scaled, scaled[..., :1]], axis=2)
    found = effect(*adjusted(arm(y[0]), arm(y[1]), (more[0], more[1])))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_cuped_takes_away_the_share_of_variance_that_the_covariate_explains():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2, 20_000, 1))
    y = 0.8 * x[..., 0] + 0.6 * rng.normal(size=(2, 20_000))
    plain = effect(arm(y[0]), arm(y[1]))
    better = effect(*adjusted(arm(y[0]), arm(y[1]), (x[0], x[1])))
    assert 1 - (better.standard_error / plain.standard_error) ** 2 == pytest.approx(0.64, abs=0.02)


def test_a_covariate_that_is_the_same_for_all_users_changes_nothing():
    control, variant = map(arm, two_groups())
    same = adjusted(control, variant, (np.full((80, 1), 3.0), np.full((130, 1), 3.0)))
    assert effect(*same) == effect(control, variant)


def mixture(difference, error, spread):
    """The likelihood of an effect drawn from N(0, spread²) against that of none, by numeric integration."""

    def likelihood(theta):
        return stats.norm.pdf(difference, theta, error) * stats.norm.pdf(theta, 0, spread)

    peak = difference * spread**2 / (spread**2 + error**2)
    width = 12 * min(error, spread)
    total = integrate.quad(likelihood, peak - width, peak + width, epsabs=0, epsrel=1e-10, limit=500)[0]
    return total / stats.norm.pdf(difference, 0, error)


@pytest.mark.parametrize("z", [0.0, 1.0, 2.5, 4.0])
@pytest.mark.parametrize("users", [500, 20_000])
def test_the_always_valid_p_value_is_one_over_the_mixture_likelihood_ratio(z, users):
    error = 0.7 / np.sqrt(users)
    spread = 0.7 * np.sqrt(mixture_variance(10_000, 0.05))
    found = look(z * error, error, users, planned_users=10_000)
    assert found.p_value == pytest.approx(min(1.0, 1 / mixture(z * error, error, spread)), rel=1e-6)


@given(st.floats(-6, 6), st.integers(100, 10**6), st.integers(100, 10**6), st.sampled_from([0.01, 0.05, 0.2]))
@settings(max_examples=100, deadline=None)
def test_p_is_at_most_alpha_where_the_interval_leaves_out_zero(z, users, planned, alpha):
    found = look(z, 1.0, users, planned_users=planned, alpha=alpha)
    if abs(found.p_value - alpha) > 1e-9:
        assert (found.p_value < alpha) == (found.low > 0 or found.high < 0)
    assert found.high - found.low > 2 * stats.norm.ppf(1 - alpha / 2)  # wider than for one look


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_the_interval_is_tightest_at_the_planned_number_of_users(alpha):
    def width(log_planned):
        found = look(0.0, 1.0, 5000, planned_users=np.exp(log_planned), alpha=alpha)
        return found.high

    best = optimize.minimize_scalar(width, bounds=(np.log(100), np.log(10**6)), method="bounded")
    assert np.exp(best.x) == pytest.approx(5000, rel=0.01)


def test_a_look_keeps_the_smallest_p_value_and_is_certain_where_nothing_varies():
    first, second = look(5.0, 1.0, 500, planned_users=1000), look(0.5, 1.0, 1000, planned_users=1000)
    assert second.after(first).p_value == first.p_value < second.p_value
    assert second.after(first).low == second.low
    assert look(0.0, 0.0, 10, planned_users=10).p_value == 1
    assert look(0.1, 0.0, 10, planned_users=10).p_value == 0


def test_the_sample_ratio_is_the_chi_squared_test():
    chi_squared = (520 - 500) ** 2 / 500 + (480 - 500) ** 2 / 500
    assert sample_ratio_p_value([520, 480], [0.5, 0.5]) == pytest.approx(stats.chi2.sf(chi_squared, 1))
    assert sample_ratio_p_value([900, 100], expected_shares(["a", "b"], {"b": 10, "a": 90})) == pytest.approx(1)
