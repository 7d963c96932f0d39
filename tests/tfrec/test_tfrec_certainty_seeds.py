"""Several seeds: the spread of seeds, users and the rest, against loops and simulation."""

import numpy as np
import pytest
from scipy import stats

from tfrec.certainty import seed_summary
from tfrec.errors import ConfigError, DataError


def plain_interval(values):
    """Mean squares of a two-way layout in loops, and the interval's formula."""
    S, U = len(values), len(values[0])
    mean = sum(map(sum, values)) / (S * U)
    of_seed = [sum(row) / U for row in values]
    of_user = [sum(values[s][u] for s in range(S)) / S for u in range(U)]
    seeds = sum((x - mean) ** 2 for x in of_seed) / (S - 1)
    users = sum((x - mean) ** 2 for x in of_user) / (U - 1)
    rest = sum((values[s][u] - of_seed[s] - of_user[u] + mean) ** 2 for s in range(S) for u in range(U))
    rest /= (S - 1) * (U - 1)
    t_seeds, t_users = stats.t.ppf(0.975, S - 1), stats.t.ppf(0.975, U - 1)
    half = (t_seeds**2 * max(0, seeds / S - rest / (S * U)) + t_users**2 * users / U) ** 0.5
    return mean, mean - half, mean + half


@pytest.mark.parametrize("spread", [0.0, 0.05, 1.0])
def test_the_interval_is_that_of_the_two_way_layout(spread):
    rng = np.random.default_rng(0)
    values = rng.random(40) + 0.1 * rng.random((4, 40)) + rng.normal(0, spread, (4, 1))
    found = seed_summary(values)
    assert (found.mean, found.low, found.high) == pytest.approx(plain_interval(values.tolist()))
    assert found.seed_deviation == pytest.approx(np.std([row.mean() for row in values], ddof=1))
    assert found.user_error == pytest.approx(stats.sem(values.mean(axis=0)))
    assert (found.seeds, found.users) == (4, 40)


def test_without_a_spread_of_seeds_it_is_students_interval_over_users():
    values = np.tile(np.random.default_rng(1).random(30), (3, 1))
    found = seed_summary(values)
    expected = stats.ttest_1samp(values[0], 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.widening == pytest.approx(stats.t.ppf(0.975, 29) / stats.norm.ppf(0.975))


def test_without_a_spread_of_users_it_is_students_interval_over_seeds():
    values = np.tile(np.random.default_rng(2).random((3, 1)), (1, 1000))
    found = seed_summary(values)
    expected = stats.ttest_1samp(values[:, 0], 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.widening == pytest.approx(4.302653 / 1.959964, abs=1e-5)


def test_three_seeds_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(1000):
        values = rng.normal(0, 0.2, 100) + rng.normal(0, 0.2, (3, 100)) + rng.normal(0, 0.02, (3, 1))
        found = seed_summary(values)
        held += found.low <= 0 <= found.high
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], 1000, [0.94, 0.97])
    assert low <= held <= high


def test_users_without_a_value_of_every_seed_are_left_out():
    values = np.random.default_rng(4).random((2, 5))
    more = np.insert(values, 2, [np.nan, 0.3], axis=1)
    assert seed_summary(more) == seed_summary(values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.ones((1, 5)), "at least two seeds"),
        (np.ones(5), "at least two seeds"),
        (np.ones((2, 1)), "1 users"),
        (np.array([[1.0, np.nan], [1.0, 1.0]]), "1 users"),
        (np.array([[1.0, np.inf], [1.0, 1.0]]), "finite"),
    ],
)
def test_too_few_seeds_or_users_are_refused(values, says):
    with pytest.raises(DataError, match=says):
        seed_summary(values)


def test_equal_values_have_an_interval_of_no_width_and_a_wrong_confidence_is_refused():
    found = seed_summary(np.full((3, 4), 0.5))
    assert (found.low, found.high, found.widening) == (0.5, 0.5, 1.0)
    with pytest.raises(ConfigError, match="confidence"):
        seed_summary(np.ones((3, 4)), confidence=1.0)
