"""Propensities against every slate written out, and against how often slates come."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tfrec.simulation import plackett_luce
from tfrec.simulation.policies import EpsilonGreedy, Greedy, Softmax, Uniform
from tfrec.simulation.state import Requests

SIZE = 3
POLICIES = [Greedy(), Uniform(), Softmax(temperature=0.7), EpsilonGreedy(epsilon=0.3)]


def slate_probability(policy, scores, candidates, slate):
    """Of one ordered slate of one request, item by item."""
    left = [item for item in range(len(scores)) if candidates[item]]
    if isinstance(policy, EpsilonGreedy):
        best, any_ = (slate_probability(p, scores, candidates, slate) for p in (Greedy(), Uniform()))
        return (1 - policy.epsilon) * best + policy.epsilon * any_
    found = 1.0
    for item in slate:
        if isinstance(policy, Greedy):
            found *= float(item == max(left, key=lambda other: (scores[other], -other)))
        elif isinstance(policy, Uniform):
            found /= len(left)
        else:
            weights = [math.exp(scores[other] / policy.temperature) for other in left]
            found *= math.exp(scores[item] / policy.temperature) / math.fsum(weights)
        left.remove(item)
    return found


def all_slates(candidates):
    return list(itertools.permutations(np.flatnonzero(candidates), SIZE))


def a_request(seed, items=6):
    rng = np.random.default_rng(seed)
    candidates = np.ones(items, bool)
    candidates[rng.integers(items)] = False
    scores = rng.normal(0, 1, items).round(1)  # with ties
    scores[1] = scores[2]
    return scores, candidates


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
@pytest.mark.parametrize("seed", range(4))
def test_propensities_equal_the_sum_over_all_slates(policy, seed):
    scores, candidates = a_request(seed)
    slates = all_slates(candidates)
    probability = {slate: slate_probability(policy, scores, candidates, slate) for slate in slates}
    assert math.fsum(probability.values()) == pytest.approx(1)
    rows = (np.repeat(array[None], len(slates), axis=0) for array in (scores, candidates))
    found = policy.propensities(*rows, np.array(slates))
    for row, slate in enumerate(slates):
        for position, item in enumerate(slate):
            at = math.fsum(p for other, p in probability.items() if other[position] == item)
            inside = math.fsum(p for other, p in probability.items() if item in other)
            prefix = math.fsum(p for other, p in probability.items() if other[: position + 1] == slate[: position + 1])
            assert found.at_position[row, position] == pytest.approx(at, abs=1e-8)
            assert found.in_slate[row, position] == pytest.approx(inside, abs=1e-8)
            assert found.of_prefix[row, position] == pytest.approx(prefix, abs=1e-12)
        assert found.of_slate[row] == pytest.approx(probability[slate], abs=1e-12)
    np.testing.assert_allclose(found.given_above.prod(axis=1), found.of_slate, atol=1e-12)


@pytest.mark.parametrize("policy", POLICIES[1:], ids=lambda policy: policy.kind)
def test_slates_come_as_often_as_they_should(policy):
    scores, candidates = a_request(1)
    runs = 40_000
    requests = Requests(0, np.arange(runs), np.arange(runs), np.zeros(runs, int))
    chosen = policy.choose(np.tile(scores, (runs, 1)), np.tile(candidates, (runs, 1)), SIZE, requests, 5)
    slates = all_slates(candidates)
    places = {slate: place for place, slate in enumerate(slates)}
    counts = np.bincount([places[tuple(slate)] for slate in chosen.items], minlength=len(slates))
    wanted = runs * np.array([slate_probability(policy, scores, candidates, slate) for slate in slates])
    assert stats.chisquare(counts, wanted).pvalue > 1e-3


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.floats(0.01, 25), items=st.integers(5, 40))
def test_an_item_is_somewhere_and_a_position_holds_something(seed, spread, items):
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, spread, (1, items))
    # Each item of the catalogue in turn stands in some slate of distinct items.
    padded = np.concatenate([np.arange(items), np.arange((-items) % 5)]).reshape(-1, 5)
    found = plackett_luce.position_probabilities(np.repeat(weights, len(padded), axis=0), padded)
    table = found.reshape(-1, 5)[:items]  # [items, positions]
    np.testing.assert_allclose(table.sum(axis=0), 1, atol=1e-7)
    assert (table.sum(axis=1) <= 1 + 1e-7).all()
    assert (table >= 0).all()
    np.testing.assert_allclose(table[:, 0], np.exp(weights[0]) / np.exp(weights[0]).sum(), atol=1e-8)


def test_position_probabilities_do_not_depend_on_the_other_requests():
    rng = np.random.default_rng(1)
    weights = rng.normal(0, 1, (50, 12)) * np.geomspace(0.1, 20, 50)[:, None]
    items = np.argsort(rng.random((50, 12)), axis=1)[:, :4]
    together = plackett_luce.position_probabilities(weights, items)
    alone = [plackett_luce.position_probabilities(weights[row, None], items[row, None])[0] for row in range(50)]
    np.testing.assert_allclose(together, alone, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_top_is_a_stable_sort(data):
    rows, items = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 12))
    size = data.draw(st.integers(1, items))
    scores = np.array(
        data.draw(st.lists(st.lists(st.integers(-2, 2), min_size=items, max_size=items), min_size=rows, max_size=rows)),
        float,
    )
    wanted = [sorted(range(items), key=lambda item, row=row: (-row[item], item))[:size] for row in scores]
    assert plackett_luce.top(scores, size).tolist() == wanted


def test_all_policies_meet_the_same_luck():
    rng = np.random.default_rng(0)
    requests = Requests(3, np.arange(40), np.arange(40), np.zeros(40, int))
    scores, candidates = rng.normal(size=(40, 9)), np.ones((40, 9), bool)
    cold = Softmax(temperature=1e-6).choose(scores, candidates, 3, requests, 1)
    hot = Softmax(temperature=1e9).choose(scores, candidates, 3, requests, 1)
    greedy, uniform = (p.choose(scores, candidates, 3, requests, 1) for p in (Greedy(), Uniform()))
    np.testing.assert_array_equal(cold.items, greedy.items)
    np.testing.assert_array_equal(hot.items, uniform.items)
    mixed = EpsilonGreedy(epsilon=0.4).choose(scores, candidates, 3, requests, 1)
    np.testing.assert_array_equal(mixed.items, np.where(mixed.is_random[:, None], uniform.items, greedy.items))
    assert 0 < mixed.is_random.sum() < 40
