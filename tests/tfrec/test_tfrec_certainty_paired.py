"""Comparisons of models on the same users, against enumeration of all signs and SciPy's tests."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tfrec.certainty import bootstrap_mean, compare_with_one, paired_comparison
from tfrec.errors import ConfigError, DataError


def all_signs(users):
    return list(itertools.product((-1, 1), repeat=users))


def plain_p_value(difference):
    """Share of sign vectors whose |sum| is no smaller than the one that was seen."""
    seen = abs(sum(difference))
    sums = [abs(sum(s * d for s, d in zip(signs, difference))) for signs in all_signs(len(difference))]
    return sum(total >= seen - 1e-12 for total in sums) / len(sums)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_with_few_users_the_p_value_is_that_of_all_sign_vectors(steps):
    difference = np.array(steps) / 10
    found = paired_comparison(difference + 1, np.ones(len(steps)), resamples=10)
    assert found.p_value == pytest.approx(plain_p_value(np.round(difference, 9)))


def test_with_many_users_the_p_value_is_near_scipys_permutation_test():
    rng = np.random.default_rng(0)
    a, b = rng.random(60) + 0.17, rng.random(60)
    found = paired_comparison(a, b, flips=50_000)
    scipys = stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=50_000, rng=0
    )
    assert 0.01 < scipys.pvalue < 0.5
    assert found.p_value == pytest.approx(scipys.pvalue, abs=4 * np.sqrt(2 * 0.25 / 50_000))


def test_a_random_p_value_is_never_below_one_in_the_number_of_flips():
    found = paired_comparison(np.arange(1.0, 101), np.zeros(100), flips=200)
    assert found.p_value == 1 / 201


def test_t_and_wilcoxon_are_scipys():
    rng = np.random.default_rng(1)
    a, b = rng.random(50), rng.random(50)
    b[:10] = a[:10]
    assert paired_comparison(a, b, test="t").p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert paired_comparison(a, b, test="wilcoxon").p_value == pytest.approx(stats.wilcoxon(a, b).pvalue)


def test_difference_interval_effect_and_ties_are_of_the_users_that_both_models_have():
    a = np.array([1.0, 0.5, 0.2, np.nan, 0.0, 0.9])
    b = np.array([0.5, 0.5, 0.4, 0.1, np.nan, 0.1])
    found = paired_comparison(a, b, seed=4)
    difference = np.array([0.5, 0.0, -0.2, 0.8])
    interval = bootstrap_mean(difference, users=np.array([0, 1, 2, 5]), seed=4)
    assert found.difference == pytest.approx(0.275)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.effect == pytest.approx(0.275 / np.std(difference, ddof=1))
    assert (found.users, found.missing, found.wins, found.ties, found.losses) == (4, 2, 2, 1, 1)


@given(st.integers(0, 1000), st.sampled_from(["sign_flip", "t", "wilcoxon"]))
@settings(max_examples=20, deadline=None)
def test_the_models_can_change_places(seed, test):
    rng = np.random.default_rng(seed)
    a, b = rng.random(30).round(1), rng.random(30).round(1)
    one, other = (paired_comparison(x, y, test=test, flips=300, resamples=50) for x, y in ((a, b), (b, a)))
    assert one.difference == pytest.approx(-other.difference)
    assert one.effect == pytest.approx(-other.effect)
    assert one.p_value == pytest.approx(other.p_value)
    assert (one.wins, one.losses) == (other.losses, other.wins)


@pytest.mark.parametrize("test", ["sign_flip", "t", "wilcoxon"])
def test_the_same_model_twice_does_not_differ(test):
    values = np.random.default_rng(2).random(40)
    found = paired_comparison(values, values, test=test)
    assert (found.difference, found.low, found.high, found.p_value, found.effect) == (0, 0, 0, 1, 0)
    assert found.ties == 40


def test_weights_make_it_a_difference_of_weighted_means():
    rng = np.random.default_rng(3)
    a, b, weights = rng.random(8), rng.random(8), rng.integers(1, 9, 8).astype(float)
    found = paired_comparison(a, b, weights=weights)
    assert found.difference == pytest.approx(np.average(a, weights=weights) - np.average(b, weights=weights))
    assert found.p_value == pytest.approx(plain_p_value(weights * (a - b)))
    with pytest.raises(ConfigError, match="knows no weights"):
        paired_comparison(a, b, weights=weights, test="t")


def test_the_order_of_the_users_changes_nothing_when_they_are_given():
    rng = np.random.default_rng(4)
    a, b, users, order = rng.random(90), rng.random(90), rng.permutation(900)[:90], rng.permutation(90)
    one = paired_comparison(a, b, users_a=users, users_b=users)
    two = paired_comparison(a[order], b[order], users_a=users[order], users_b=users[order])
    assert (two.low, two.high, two.p_value) == pytest.approx((one.low, one.high, one.p_value))


@pytest.mark.parametrize(
    ("a", "b", "users_a", "users_b", "says"),
    [
        ([1.0, 2.0], [1.0], None, None, r"shapes \(2,\) and \(1,\)"),
        ([1.0, 2.0], [1.0, 3.0], [1, 2], [2, 1], "another order; sort both"),
        ([1.0, 2.0], [1.0, 3.0], [1, 2], [1, 3], "1 of 2 users are in both"),
        ([1.0, 2.0], [1.0, 3.0], [1, 2], None, "of one model only"),
        ([1.0, np.nan], [np.nan, 3.0], None, None, "no user of 2"),
    ],
)
def test_different_users_are_refused(a, b, users_a, users_b, says):
    users = {"users_a": users_a and np.array(users_a), "users_b": users_b and np.array(users_b)}
    with pytest.raises(DataError, match=says):
        paired_comparison(np.array(a), np.array(b), **users)


def test_a_test_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="sign_flip, t, wilcoxon"):
        paired_comparison(np.ones(3), np.ones(3), test="anova")
    with pytest.raises(ConfigError, match="flips: got 0"):
        paired_comparison(np.ones(3), np.zeros(3), flips=0)


def plain_step_down(differences):
    """Westfall & Young's algorithm 2.8 with all sign vectors, in loops. float [users, models]"""
    size = np.sqrt((differences**2).sum(axis=0))
    seen = np.abs(differences.sum(axis=0)) / size
    order = list(np.argsort(-seen))
    signs = all_signs(len(differences))
    p_values, before = {}, 0.0
    for place, model in enumerate(order):
        rest = order[place:]
        count = 0
        for sign in signs:
            flipped = np.array(sign) @ differences / size
            count += max(abs(flipped[m]) for m in rest) >= seen[model] - 1e-12
        before = max(before, count / len(signs))
        p_values[model] = before
    return np.array([p_values[m] for m in range(len(order))])


def test_a_family_has_the_p_values_of_step_down_max_t_over_all_sign_vectors():
    rng = np.random.default_rng(5)
    baseline = rng.random(8)
    models = baseline + rng.normal([[0.5], [0.1], [0.1], [0.0]], 0.2, (4, 8))
    found = compare_with_one(baseline, models)
    np.testing.assert_allclose(found.p_values, plain_step_down((models - baseline).T))
    alone = [paired_comparison(model, baseline).p_value for model in models]
    assert (found.p_values >= np.array(alone) - 1e-12).all()


def test_a_familys_intervals_are_those_of_the_largest_studentised_mean():
    rng = np.random.default_rng(6)
    baseline = rng.random(7)
    models = baseline + rng.normal(0.1, 0.2, (3, 7))
    found = compare_with_one(baseline, models, confidence=0.9)
    differences = (models - baseline).T
    centred = differences - differences.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    largest = [max(np.abs(np.array(sign) @ centred) / size) for sign in all_signs(7)]
    half = np.quantile(largest, 0.9) * size / 7
    np.testing.assert_allclose(found.high - found.differences, half)
    np.testing.assert_allclose(found.differences - found.low, half)


def test_a_copy_of_a_model_costs_the_family_nothing():
    rng = np.random.default_rng(7)
    baseline, model = rng.random(100), rng.random(100) + 0.08
    one = compare_with_one(baseline, model[None])
    many = compare_with_one(baseline, np.stack([model] * 20))
    np.testing.assert_allclose(many.p_values, one.p_values[0])
    assert 0.0001 < one.p_values[0] < 0.5


def test_a_family_leaves_out_users_without_a_value_and_takes_a_model_that_never_differs():
    rng = np.random.default_rng(8)
    baseline = rng.random(30)
    models = np.stack([baseline, baseline + rng.normal(0.2, 0.1, 30)])
    models[1, 3] = np.nan
    found = compare_with_one(baseline, models, flips=500)
    assert found.users == 29
    assert found.p_values[0] == 1.0
    assert found.p_values[1] < 0.01
    with pytest.raises(DataError, match="at least 2"):
        compare_with_one(baseline, np.full((2, 30), np.nan))
