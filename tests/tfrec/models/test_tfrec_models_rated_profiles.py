"""Ratings of what a user took: those of training, and those that a history brings along."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfrec.models.known_items import rated_inputs, with_schema
from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tfrec.errors import ConfigError
from tfrec.models.profiles.rated_profiles import RatedProfiles, label_history
from tfrec.models.profiles.user_profiles import ProfileConfig

ITEMS = 5
WIDTH = 7
rated_lists = st.lists(st.tuples(st.integers(0, ITEMS - 1), st.sampled_from([0.0, 1.0, 3.5, 5.0])), max_size=WIDTH)
LABELS = {"role": "user", "kind": "sequence", "length": WIDTH, "of": "label"}


def inputs_with_history(rated, *, has_labels=True, **more):
    inputs = rated_inputs(rated, ITEMS, history=WIDTH, **more)
    return with_schema(inputs, features={"ratings": LABELS}) if has_labels else inputs


def asked(users, histories):
    """A request of item and rating lists."""
    features = request(users, [[item for item, _ in row] for row in histories])
    width = features["history"].shape[1]
    rows = [[rating for _, rating in row] + [0.0] * (width - len(row)) for row in histories]
    return features | {"ratings": tf.constant(rows, tf.float32)}


def by_row(rated, rows):
    """{item: (weight, rating or None)} of each row."""
    found = [{} for _ in range(rows)]
    for row, item, weight, rating in zip(*(values.numpy() for values in rated), strict=True):
        assert item not in found[row]
        found[row][int(item)] = (float(weight), None if math.isnan(rating) else float(rating))
    return found


@settings(max_examples=25, deadline=None)
@given(
    rated=st.lists(rated_lists, min_size=1, max_size=3).filter(any),
    histories=st.lists(rated_lists, min_size=4, max_size=4),
    profile=st.sampled_from(["both", "history", "training"]),
    half_life=st.sampled_from([None, 2.0]),
    has_labels=st.booleans(),
)
def test_an_item_has_the_latest_rating_that_is_known_of_it(rated, histories, profile, half_life, has_labels):
    users = [*range(len(rated)), None]
    histories = histories[: len(users)]
    inputs = inputs_with_history(rated, has_labels=has_labels)
    profiles = RatedProfiles(ProfileConfig(profile=profile, half_life=half_life), inputs)
    found = by_row(profiles.rated(asked(users, histories)), len(users))
    for user, history, row in zip(users, histories, found, strict=True):
        of_training = [] if user is None or profile == "history" else rated[user]
        of_history = [] if profile == "training" else history
        events = [*of_training, *((item, rating if has_labels else None) for item, rating in of_history)]
        ratings = {item: rating for item, rating in events if rating is not None}
        weights = profile_by_hand([item for item, _ in events], half_life)
        assert row == {item: (pytest.approx(weight), ratings.get(item)) for item, weight in weights.items()}


def test_items_without_a_rating_can_be_left_out():
    inputs = inputs_with_history([[(0, 4.0)]], has_labels=False)
    rated = RatedProfiles(ProfileConfig(), inputs).rated(asked([0], [[(1, 0.0)]]))
    assert [values.numpy().tolist() for values in rated.known()] == [[0], [0], [1.0], [4.0]]


def test_without_a_label_no_rating_is_known():
    rated = RatedProfiles(ProfileConfig(), inputs_of([[0, 2]], 3)).rated(request([0]))
    assert np.isnan(rated.ratings).all()
    assert rated.items.numpy().tolist() == [0, 2]


def test_a_history_has_the_values_of_the_log_and_gets_the_threshold_of_the_label():
    inputs = inputs_with_history([[(0, 1.0), (1, 0.0)]], label={"threshold": 4})
    rated = RatedProfiles(ProfileConfig(), inputs).rated(asked([0], [[(2, 5.0), (3, 3.0), (1, 4.0), (4, math.nan)]]))
    assert by_row(rated, 1) == [{0: (1.0, 1.0), 2: (1.0, 1.0), 3: (1.0, 0.0), 1: (1.0, 1.0), 4: (1.0, None)}]


def test_where_ratings_are_needed_a_history_without_them_is_not_read():
    without, beside = (inputs_with_history([[(0, 4.0)]], has_labels=has_labels) for has_labels in (False, True))
    assert RatedProfiles(ProfileConfig(), without, needs_ratings=True).required_features == {"user_id"}
    assert RatedProfiles(ProfileConfig(), beside, needs_ratings=True).required_features == {
        "user_id",
        "history",
        "ratings",
    }
    with pytest.raises(ConfigError, match="no ratings beside its history"):
        RatedProfiles(ProfileConfig(profile="history"), without, needs_ratings=True)


def test_a_sequence_of_labels_of_other_events_is_not_taken_for_ratings_of_the_history():
    for change in ({"length": WIDTH + 1}, {"labels": "positive"}):
        inputs = with_schema(rated_inputs([[(0, 4.0)]], ITEMS, history=WIDTH), features={"ratings": LABELS | change})
        assert label_history(inputs.schema) is None
    assert label_history(inputs_with_history([[(0, 4.0)]]).schema) == "ratings"
