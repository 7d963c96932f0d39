"""Profiles of users: what is read, in which order, with which weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tfrec.errors import ConfigError
from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles

ITEMS = 6
lists = st.lists(st.integers(0, ITEMS - 1), max_size=8)


def profiles(config, inputs, features):
    """Row → {item: weight}."""
    found = UserProfiles(config, inputs)(features)
    rows = [{} for _ in range(len(features["user_id"]))]
    for row, item, weight in zip(*(values.numpy() for values in found), strict=True):
        assert item not in rows[row]
        rows[row][int(item)] = float(weight)
    return rows


@settings(max_examples=40, deadline=None)
@given(
    taken=st.lists(lists, min_size=1, max_size=4),
    histories=st.lists(lists, min_size=5, max_size=5),
    profile=st.sampled_from(["both", "history", "training"]),
    half_life=st.sampled_from([None, 0.5, 3.0]),
)
def test_a_profile_is_each_item_once_weighted_by_what_came_after(taken, histories, profile, half_life):
    users = [*range(len(taken)), None]
    histories = histories[: len(users)]
    found = profiles(
        ProfileConfig(profile=profile, half_life=half_life), inputs_of(taken, ITEMS, 8), request(users, histories)
    )
    for user, history, row in zip(users, histories, found, strict=True):
        of_training = [] if user is None else taken[user]
        items = {"both": of_training + history, "history": history, "training": of_training}[profile]
        assert row == pytest.approx(profile_by_hand(items, half_life))


def test_unknown_items_of_a_history_are_passed_over():
    features = request([0], [[1, 2]])
    features["history"] = np.array([[3, 1, 4, 1]])  # item 1, unknown, item 2, unknown
    found = profiles(ProfileConfig(profile="history", half_life=1.0), inputs_of([[0]], ITEMS, 4), features)
    assert found == [{2: 1.0, 1: 0.5}]


def test_without_a_sequence_feature_both_means_training():
    inputs = inputs_of([[4, 0], [1]], ITEMS)
    assert UserProfiles(ProfileConfig(), inputs).required_features == {"user_id"}
    assert profiles(ProfileConfig(), inputs, request([1, 0])) == [{1: 1.0}, {4: 1.0, 0: 1.0}]


def test_a_profile_of_the_history_needs_a_sequence_feature():
    with pytest.raises(ConfigError, match=r"model\.profile=history: the dataset has no sequence of items"):
        UserProfiles(ProfileConfig(profile="history"), inputs_of([[0]], ITEMS))
