"""Fairness between groups of users and of items against plain loops and hand calculations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfrec.random_lists import random_case
from tfrec.metrics import (
    ItemGroups,
    compare_user_groups,
    item_group_exposure,
    place_counts,
    popularity_groups,
    relevant_counts,
)

GROUPS = ItemGroups(("a", "b", "c", "empty"), np.arange(25) % 3)


def test_groups_of_users_are_compared_by_their_means():
    values = np.array([0.2, 0.4, 0.9, math.nan, 0.5])
    found = compare_user_groups(values, np.array([0, 0, 1, 1, 2]), ["young", "old", "unknown", "nobody"])
    assert found.counts.tolist() == [2, 1, 1, 0]
    assert found.means.tolist() == pytest.approx([0.3, 0.9, 0.5, math.nan], nan_ok=True)
    assert (found.lowest, found.highest) == ("young", "old")
    assert found.gap == pytest.approx(0.6)
    assert found.ratio == pytest.approx(1 / 3)


def test_no_users_have_no_gap():
    found = compare_user_groups(np.array([math.nan]), np.array([0]), ["a"])
    assert math.isnan(found.gap)
    assert math.isnan(found.ratio)
    assert (found.lowest, found.highest) == (None, None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 5, 12])
def test_exposure_of_item_groups_is_discounted_by_place(seed, k):
    case = random_case(seed)
    exposure, relevant = [0.0] * 4, [0] * 4
    for shown, wanted in zip(case.listed, case.relevant, strict=True):
        for place, item in enumerate(shown[:k], start=1):
            exposure[item % 3] += 1 / math.log2(1 + place)
        for item in wanted:
            relevant[item % 3] += 1
    places = place_counts(case.lists, GROUPS, 12)
    assert places.sum() == sum(map(len, case.listed))
    found = item_group_exposure(places, relevant_counts(case.lists, GROUPS), GROUPS, k)
    assert found.exposure_share == pytest.approx(np.array(exposure) / sum(exposure))
    assert found.relevant_share == pytest.approx(np.array(relevant) / sum(relevant))
    assert found.catalogue_share == pytest.approx([9 / 25, 8 / 25, 8 / 25, 0])
    assert found.exposure_per_item[:3] == pytest.approx(found.exposure_share[:3] / found.catalogue_share[:3])
    assert found.exposure_per_relevance[:3] == pytest.approx(found.exposure_share[:3] / found.relevant_share[:3])
    assert np.isnan([found.exposure_per_item[3], found.exposure_per_relevance[3]]).all()
    gaps = [abs(e / sum(exposure) - r / sum(relevant)) for e, r in zip(exposure, relevant, strict=True)]
    assert found.unfairness == pytest.approx(sum(gaps))


def test_places_beyond_the_lists_count_nothing_and_a_cut_beyond_the_places_is_refused():
    case = random_case(0)
    places = place_counts(case.lists, GROUPS, 20)
    assert (places[:, :12] == place_counts(case.lists, GROUPS, 12)).all()
    assert not places[:, 12:].any()
    with pytest.raises(ValueError, match="k is 21; places were counted up to 20"):
        item_group_exposure(places, relevant_counts(case.lists, GROUPS), GROUPS, 21)


def test_head_and_tail_hold_a_fifth_of_all_counts_each():
    # Of 100: the first item has 20, the last four together 20, one of them none at all.
    found = popularity_groups(np.array([0, 20, 18, 17, 15, 10, 9, 6, 5]))
    assert [found.names[group] for group in found.of_item] == ["tail", "head", *["mid"] * 4, *["tail"] * 3]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_popularity_groups_are_cut_by_cumulated_counts(counts):
    found = popularity_groups(np.array(counts)).of_item.tolist()
    order = sorted(range(len(counts)), key=lambda item: (-counts[item], item))
    groups = [found[item] for item in order]
    assert groups == sorted(groups)  # head, mid, tail by popularity
    assert groups[0] == 0
    head, tail = (sum(counts[item] for item in order if found[item] == group) for group in (0, 2))
    assert head <= 0.2 * sum(counts) or groups.count(0) == 1
    assert tail <= 0.2 * sum(counts) + 1e-9
    after = [item for item in order if found[item] != 0]
    if after and sum(counts):
        assert head + counts[after[0]] > 0.2 * sum(counts) - 1e-9  # one more would be too many


def test_shares_that_overlap_are_refused():
    with pytest.raises(ValueError, match="together at most 1"):
        popularity_groups(np.array([1, 2]), 0.6, 0.6)
