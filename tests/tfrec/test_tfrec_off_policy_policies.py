"""Policies from scores, and the worlds' draws, against loops."""

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.errors import ConfigError
from tfrec.off_policy import (
    epsilon_greedy_policy,
    epsilon_greedy_policy_of_groups,
    softmax_policy,
    softmax_policy_of_groups,
)
from tfrec.off_policy.slate_world import SlateWorld
from tfrec.off_policy.world import BanditWorld


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 20))
def test_softmax_policies_of_rows_and_of_groups_are_scipys(seed, temperature):
    rng = np.random.default_rng(seed)
    scores = 5 * rng.normal(size=(4, 6))
    assert softmax_policy(scores, temperature) == pytest.approx(scipy.special.softmax(scores / temperature, axis=1))
    groups = rng.permutation(rng.integers(0, 5, 20))
    _, groups = np.unique(groups, return_inverse=True)
    flat = 5 * rng.normal(size=20)
    found = softmax_policy_of_groups(flat, groups, temperature)
    for group in range(groups.max() + 1):
        assert found[groups == group] == pytest.approx(scipy.special.softmax(flat[groups == group] / temperature))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_epsilon_greedy_policies_are_those_of_loops_with_ties_to_the_first(seed, epsilon):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (5, 4)).astype(float)
    found = epsilon_greedy_policy(scores, epsilon)
    groups, flat = np.repeat(np.arange(5), 4), scores.ravel()
    order = rng.permutation(20)
    of_groups = epsilon_greedy_policy_of_groups(flat[order], groups[order], epsilon)
    for row in range(5):
        best = list(scores[row]).index(max(scores[row]))
        expected = [epsilon / 4 + (1 - epsilon) * (action == best) for action in range(4)]
        assert found[row] == pytest.approx(expected)
        assert of_groups[groups[order] == row].sum() == pytest.approx(1)
    in_order = epsilon_greedy_policy_of_groups(flat, groups, epsilon)
    assert in_order == pytest.approx(found.ravel())


def test_huge_scores_do_not_overflow_and_minus_infinity_is_never_taken():
    assert softmax_policy(np.array([1e6, 0.0, -np.inf])).tolist() == [1.0, 0.0, 0.0]
    assert softmax_policy_of_groups(np.array([1e6, 0.0]), np.array([0, 0])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    with pytest.raises(ConfigError, match="temperature"):
        softmax_policy(np.zeros(2), temperature)


@pytest.mark.parametrize("epsilon", [-0.1, 1.1])
def test_an_epsilon_that_is_no_probability_is_refused(epsilon):
    with pytest.raises(ConfigError, match="epsilon"):
        epsilon_greedy_policy(np.zeros((1, 2)), epsilon)


@pytest.mark.parametrize("kind", ["binary", "normal", "exponential"])
def test_a_bandit_world_draws_as_its_tables_say(kind):
    world = BanditWorld.planted(1, distance=1.0, reward_kind=kind, types=3, num_actions=4)
    log = world.draw(2, np.ones(200_000, int))
    assert log.labels is None
    assert log.rewards.mean() == pytest.approx((world.logging * world.expected).sum(axis=1).mean(), rel=0.02)
    for t in range(3):
        for a in range(4):
            rows = log.propensities == world.logging[t, a]
            assert rows.mean() == pytest.approx(world.logging[t, a] / 3, abs=0.005)
            assert log.rewards[rows].mean() == pytest.approx(world.expected[t, a], abs=0.15)
            assert (log.target_probabilities[rows] == world.target[t, a]).all()


def test_a_slate_world_draws_each_slate_as_often_as_its_policy_says():
    world = SlateWorld.planted(1, distance=1.0, users="cascade", types=2, items=3, positions=2)
    log = world.draw(2, np.ones(100_000, int))
    for t in range(2):
        for n in range(len(world.slates)):
            rows = (log.propensities == world.logging.conditional[t, n]).all(axis=1)
            assert rows.mean() == pytest.approx(world.logging.of_slate[t, n] / 2, abs=0.005)
            assert log.rewards[rows].mean(axis=0) == pytest.approx(world.expected[t, n], abs=0.03)
