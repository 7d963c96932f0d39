"""The true value of a policy: against every slate written out, against clicks, and by off-policy estimators."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from tests.tfrec.test_tfrec_simulation_clicks import lived_in, plain_probability
from tests.tfrec.test_tfrec_simulation_policies import slate_probability
from tfrec.off_policy.slate_estimators import independent_ips, logged_value, reward_interaction_ips
from tfrec.off_policy.slates import LoggedSlates
from tfrec.simulation.clicks import respond
from tfrec.simulation.policies import EpsilonGreedy, Greedy, Softmax, Uniform
from tfrec.simulation.state import State
from tfrec.simulation.training import table_scorer
from tfrec.simulation.value import oracle, true_value
from tfrec.simulation.world import World, WorldConfig

TINY = WorldConfig(users=3, items=6, slate=2, genres=3, late_items=0.17, contexts=("home", "away"), repeats=True)
POLICIES = [Greedy(), Uniform(), Softmax(temperature=0.5), EpsilonGreedy(epsilon=0.3)]


def plain_value(state, policy, table):
    """Over users, contexts and slates, one by one."""
    world = state.world
    there = np.flatnonzero(world.arrival_round <= state.round_number)
    total = weight = 0.0
    for slot, user in enumerate(state.user_ids):
        activity = float(world.activity(np.array([user]))[0])
        for context in range(len(world.config.contexts)):
            mask = np.isin(np.arange(world.config.items), there)
            for slate in itertools.permutations(there, world.config.slate):
                reward = sum(plain_probability(state, slot, context, item, place) for place, item in enumerate(slate))
                total += activity * slate_probability(policy, table[user], mask, slate) * reward
            weight += activity
    return total / weight


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
def test_it_equals_the_sum_over_all_slates(policy):
    state = lived_in(TINY)
    table = np.random.default_rng(1).normal(size=(3, 6))
    found = true_value(state, policy, table_scorer(table), samples=4000)
    is_drawn = isinstance(policy, Softmax)
    assert found == pytest.approx(plain_value(state, policy, table), rel=0.02 if is_drawn else 1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_no_policy_beats_the_oracle(seed):
    state = lived_in(WorldConfig(users=20, items=30), seed=seed)
    best = true_value(state, Greedy(), oracle(state))
    for policy in POLICIES[1:]:
        assert true_value(state, policy, oracle(state)) < best
    rng = np.random.default_rng(seed)
    for _ in range(5):
        assert true_value(state, Greedy(), table_scorer(rng.normal(size=(20, 30)))) < best


def log_of_moments(state, logging, target, scorers, moments):
    """A log of several moments of one state, as the estimators read it."""
    parts = []
    for state.moment in moments:
        requests = state.requests()
        candidates = state.candidates(requests.slots)
        mine, theirs = (scorer(requests) for scorer in scorers)
        slates = logging.choose(mine, candidates, state.world.config.slate, requests, 3)
        found = [respond(state, requests, slates.items).clicks.astype(float)]
        for policy, scores in ((logging, mine), (target, theirs)):
            propensities = policy.propensities(scores, candidates, slates.items)
            found += [propensities.given_above, propensities.at_position]
        parts.append(found)
    rewards, mine, mine_at, theirs, theirs_at = (np.concatenate(column) for column in zip(*parts, strict=True))
    return LoggedSlates(rewards, mine, theirs, position_propensities=mine_at, position_target_probabilities=theirs_at)


@pytest.mark.parametrize("logging", [Softmax(temperature=1.0), EpsilonGreedy(epsilon=0.5)], ids=lambda p: p.kind)
@pytest.mark.parametrize("target", [Greedy(), Softmax(temperature=0.1)], ids=lambda p: p.kind)
def test_off_policy_estimates_from_the_log_are_unbiased_and_cover_the_true_value_as_they_claim(logging, target):
    state = State.at_start(World(WorldConfig(users=400, items=8, slate=2, late_items=0, base_logit=-1.0), 1))
    table = np.random.default_rng(2).normal(0, 0.7, (400, 8))
    scorers = table_scorer(table), oracle(state)  # the target policy differs, and is better
    truth = true_value(state, target, scorers[1], samples=300)
    values, covered, naive, runs, moments = [], [], [], 40, 8
    for run in range(runs):
        log = log_of_moments(state, logging, target, scorers, range(moments * run, moments * (run + 1)))
        estimates = [estimator(log) for estimator in (independent_ips, reward_interaction_ips)]
        values.append([float(estimate.value) for estimate in estimates])
        if estimates[0].claims_interval:  # of prefixes the log has too few for a claim
            covered.append(estimates[0].low <= truth <= estimates[0].high)
        unweighted = logged_value(log)
        naive.append(unweighted.low <= truth <= unweighted.high)
    error = np.mean(values, axis=0) - truth
    assert (np.abs(error) < 4 * np.std(values, axis=0, ddof=1) / np.sqrt(runs)).all(), error
    assert len(covered) >= runs / 2
    assert binom.cdf(sum(covered), len(covered), 0.95) > 1e-3
    assert not any(naive)  # the clicks of the log itself say nothing of the target policy
