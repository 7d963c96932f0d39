"""Novelty, popularity, diversity, serendipity, coverage and Gini against plain loops."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfrec.random_lists import interactions, random_case
from tfrec.metrics import (
    BeyondAccuracy,
    ItemFacts,
    ItemGroups,
    Profiles,
    RankedLists,
    coverage,
    exposure_counts,
    gini,
    multi_hot,
    popularity_lift,
)

KS = (1, 3, 10, 20)  # 20 lies beyond the lists


def takers(case, item):
    return sum(item in row for row in case.had)


def training_users(case):
    return sum(len(row) > 0 for row in case.had)


def mean(values):
    return sum(values) / len(values) if values else math.nan


def cosine_distance(a, b):
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def plain(case, row, k):
    """Metrics of one user by their definitions."""
    shown, had = case.listed[row][:k], set(case.had[case.lists.users[row]])
    vectors = [v for v in case.facts.vectors[shown].tolist() if any(v)]
    by_count = sorted(range(case.facts.num_items), key=lambda item: (-takers(case, item), item))
    expected = [item for item in by_count if item not in had][:k]
    users = training_users(case)
    return {
        f"novelty_at_{k}": mean([-math.log2(max(takers(case, item), 1) / users) for item in shown]),
        f"popularity_at_{k}": mean([takers(case, item) / users for item in shown]),
        f"diversity_at_{k}": mean([cosine_distance(a, b) for a, b in itertools.combinations(vectors, 2)]),
        f"serendipity_at_{k}": len(set(shown) & set(case.relevant[row]) - set(expected)) / k,
    }


@pytest.mark.parametrize("seed", range(5))
def test_metrics_of_each_user_are_their_definitions(seed):
    case = random_case(seed)
    metrics = BeyondAccuracy(case.facts, KS, case.profiles)
    found = metrics(case.lists)
    assert tuple(found) == metrics.names
    for row in range(len(case.lists)):
        expected = {name: value for k in KS for name, value in plain(case, row, k).items()}
        mine = {name: values[row] for name, values in found.items()}
        assert mine == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert np.isnan(found["novelty_at_10"]).any()  # empty lists are among them
    assert sum(found["serendipity_at_3"]) > 0


def test_a_hand_calculation():
    # Item 0 was taken by both users, 1 by one, 2 by none.
    seen = interactions([[0, 1], [0, 0], []], 3)
    facts = ItemFacts.of(seen, np.array([[1, 0], [0, 2], [3, 3]], float))
    assert (facts.training_users.tolist(), facts.num_users) == ([2, 1, 0], 2)
    lists = RankedLists(np.array([2]), np.array([[1, 2, 0]]), np.zeros((1, 3)), np.array([0, 2]), np.array([0, 2]))
    found = {name: value[0] for name, value in BeyondAccuracy(facts, [2], Profiles.of(seen, facts))(lists).items()}
    assert found == {
        "novelty_at_2": 1.0,  # −log₂ 1/2, twice: an item that nobody took counts as taken by one
        "popularity_at_2": 0.25,
        "diversity_at_2": pytest.approx(1 - math.sqrt(0.5)),
        "serendipity_at_2": 0.5,  # item 2 is relevant and not among the two most popular
    }


def test_what_needs_vectors_or_profiles_is_left_out_without_them():
    case = random_case(0)
    facts = ItemFacts(case.facts.training_users, case.facts.num_users)
    assert set(BeyondAccuracy(facts, [5])(case.lists)) == {"novelty_at_5", "popularity_at_5"}


@pytest.mark.parametrize("seed", range(3))
def test_popularity_lift_compares_group_average_popularity(seed):
    case = random_case(seed)
    users = [row for row in range(len(case.lists)) if case.listed[row] and case.had[case.lists.users[row]]]
    share = [takers(case, item) / training_users(case) for item in range(case.facts.num_items)]
    lists = mean([mean([share[item] for item in case.listed[row][:3]]) for row in users])
    profiles = mean([mean([share[item] for item in set(case.had[case.lists.users[row]])]) for row in users])
    popularity = BeyondAccuracy(case.facts, [3])(case.lists)["popularity_at_3"]
    found = popularity_lift(popularity, case.profiles.popularity[case.lists.users])
    assert found == pytest.approx(lists / profiles - 1, abs=1e-12)


def test_the_lift_without_any_list_or_profile_is_nan():
    assert math.isnan(popularity_lift(np.array([math.nan, 0.5]), np.array([0.5, math.nan])))


@pytest.mark.parametrize("seed", range(3))
def test_exposure_coverage_and_gini_are_their_definitions(seed):
    case = random_case(seed)
    ks = (10, 1, 20, 3)
    for k, counts in zip(ks, exposure_counts(case.lists, ks, case.facts.num_items), strict=True):
        shown = [sum(item in row[:k] for row in case.listed) for item in range(case.facts.num_items)]
        assert counts.tolist() == shown
        assert coverage(counts) == sum(count > 0 for count in shown) / len(shown)
        assert gini(counts) == pytest.approx(plain_gini(shown), abs=1e-12)


def plain_gini(counts):
    """Half the mean absolute difference of all pairs, relative to the mean."""
    differences = [abs(a - b) for a in counts for b in counts]
    return mean(differences) / 2 / mean(counts)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_gini_is_half_the_relative_mean_difference(counts):
    found = gini(np.array(counts))
    assert found == pytest.approx(plain_gini(counts), abs=1e-12) if sum(counts) else math.isnan(found)


def test_gini_is_0_for_equal_exposure_and_1_less_1_in_n_for_a_single_item():
    assert gini(np.array([7, 7, 7, 7])) == 0
    assert gini(np.array([0, 0, 9, 0])) == 0.75
    assert math.isnan(coverage(np.zeros(0, int)))


def test_genres_become_vectors_without_padding_and_unknown_values():
    ids = np.array([[2, 3, 0], [3, 3, 1], [0, 0, 0]])
    assert multi_hot(ids, depth=5, num_oov=1).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert multi_hot(np.array([1, 2]), depth=3).tolist() == [[1, 0], [0, 1]]


def test_facts_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="3 training users of 2; count each user once"):
        ItemFacts(np.array([3, 0]), 2)
    with pytest.raises(ValueError, match="vectors is of 3 items, training_users of 2"):
        ItemFacts(np.array([1, 0]), 2, np.zeros((3, 1)))
    with pytest.raises(ValueError, match="an item is in group 2; there are 2"):
        ItemGroups(("a", "b"), np.array([0, 2]))
    with pytest.raises(ValueError, match="seen is of 3 items, the facts of 2"):
        Profiles.of(interactions([[0]], 3), ItemFacts(np.array([1, 0]), 2))
