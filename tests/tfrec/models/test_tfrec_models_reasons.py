"""Reasons against plain loops, and the models' own scores."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tfrec.models.ease import EASE, EASEConfig
from tfrec.models.item_knn import ItemKNN, ItemKNNConfig
from tfrec.models.popularity import Popularity, PopularityConfig
from tfrec.models.profiles.cold_start import popularity_prior, prior_without_profile, rows_without_profile
from tfrec.models.profiles.reasons import nearest_in_profile
from tfrec.models.profiles.user_profiles import ProfileConfig, Profiles, UserProfiles
from tfrec.models.two_tower import TwoTower, TwoTowerConfig

ITEMS = 8
lists = st.lists(st.integers(0, ITEMS - 1), max_size=9)


def named(reasons):
    """Row by row, item by item: the (label, weight) pairs that are given."""
    return [
        [
            [(label.decode(), weight) for label, weight in zip(*of_item, strict=True) if label]
            for of_item in zip(*of_row, strict=True)
        ]
        for of_row in zip(reasons.labels.numpy(), reasons.weights.numpy(), strict=True)
    ]


def best_by_hand(weights, reasons):
    """The largest positive ones of {item: weight}, as labels with weights."""
    found = [(f"item:{item}", weight) for item, weight in weights.items() if weight > 1e-7]
    return sorted(found, key=lambda pair: -pair[1])[:reasons]


def assert_same(found, expected):
    """Equal weights in equal order; labels too, where no two weights are alike."""
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected], rel=1e-4, abs=1e-6)
    weights = [round(weight, 4) for _, weight in expected]
    if len(set(weights)) == len(weights):
        assert {label for label, _ in found[:-1]} == {label for label, _ in expected[:-1]}


@settings(max_examples=40, deadline=None)
@given(
    taken=st.lists(lists, min_size=1, max_size=4),
    seed=st.integers(0, 99),
    reasons=st.integers(1, 4),
)
def test_the_nearest_of_the_profile_are_those_of_loops_over_cosines(taken, seed, reasons):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(ITEMS, 3)).astype(np.float32)
    items = random.integers(0, ITEMS, (len(taken) + 1, 2))
    profiles = UserProfiles(ProfileConfig(), inputs_of(taken, ITEMS))(request([*range(len(taken)), None]))
    ids = tf.constant([str(item) for item in range(ITEMS)])
    found = named(nearest_in_profile(profiles, vectors, items, reasons, ids))
    assert found[-1] == [[("popularity", 1.0)]] * 2
    for user, row in enumerate(taken):
        for item, of_item in zip(items[user], found[user], strict=True):
            cosines = {
                other: vectors[other] @ vectors[item] / np.linalg.norm(vectors[other]) / np.linalg.norm(vectors[item])
                for other in set(row) - {item}
            }
            assert_same(of_item, best_by_hand(cosines, reasons) if row else [("popularity", 1.0)])


@pytest.mark.parametrize("half_life", [None, 2.0])
@pytest.mark.parametrize(
    "build",
    [
        lambda inputs, **more: EASE(EASEConfig(l2=2.0, **more), inputs),
        lambda inputs, **more: EASE(EASEConfig(l2=2.0, top=3, **more), inputs),
        lambda inputs, **more: ItemKNN(ItemKNNConfig(shrinkage=1, neighbours=4, **more), inputs),
    ],
    ids=["ease", "ease_top", "item_knn"],
)
def test_reasons_of_item_weights_are_what_each_item_adds_to_the_score(build, half_life):
    """The weight of one item alone is what a profile of this item alone scores."""
    random = np.random.default_rng(4)
    taken = [random.integers(0, 20, random.integers(1, 12)).tolist() for _ in range(40)]
    inputs = inputs_of(taken, 20, 5)
    model = build(inputs, half_life=half_life)
    model.fit(inputs)
    alone = build(inputs, profile="history")
    for target, source in zip(alone._weights.state, model._weights.state, strict=True):
        target.assign(source)
    of_one = alone.scores(request([None] * 20, [[item] for item in range(20)])).numpy()
    items = random.integers(0, 20, (40, 3))
    found = named(model.explain(request(range(40), [[]] * 40), tf.constant(items), 4))
    some = 0
    for user, row in enumerate(taken):
        profile = profile_by_hand(row, half_life)
        for item, of_item in zip(items[user], found[user], strict=True):
            added = {other: weight * of_one[other, item] for other, weight in profile.items() if other != item}
            expected = best_by_hand(added, 4) or [("popularity", 1.0)]
            some += expected[0][0] != "popularity"
            assert_same(of_item, expected)
    assert some > 30


def test_a_two_tower_explains_by_the_history_of_the_request_before_anything_was_trained():
    inputs = inputs_of([[0, 1], [2]], ITEMS, 4)
    model = TwoTower(TwoTowerConfig(), inputs)
    model.refresh()
    assert model.features_for_reasons == {"user_id", "history"}
    found = named(model.explain(request([None, 1], [[5], []]), tf.constant([[3, 5], [3, 5]], tf.int64), 2))
    labels = {label for row in found for of_item in row for label, _ in of_item}
    assert labels <= {"item:5", "item:2"}
    assert found[0][1] == []  # the item is no reason for itself


def test_popularity_is_its_own_reason():
    inputs = inputs_of([[0, 1, 1]], 3)
    model = Popularity(PopularityConfig(), inputs)
    model.fit(inputs)
    found = named(model.explain(request([0]), tf.constant([[1, 0, 2]], tf.int64), 3))
    assert found == [[[("popularity", 2.0)], [("popularity", 1.0)], []]]  # nobody took the last one
    assert model.state_for_reasons == []  # no user's events are exported for it


def test_the_prior_is_in_proportion_to_the_counts_and_far_below_scores():
    prior = popularity_prior(np.array([0, 3, 6]))
    np.testing.assert_allclose(prior, [0, 0.5e-6, 1e-6], rtol=1e-6)
    assert prior.dtype == np.float32
    np.testing.assert_array_equal(popularity_prior(np.zeros(2, int)), [0, 0])
    assert popularity_prior(np.zeros(0, int)).shape == (0,)


def test_rows_of_empty_profiles_are_answered_by_the_prior_alone():
    profiles = Profiles(tf.constant([0, 0, 2], tf.int64), tf.constant([1, 2, 0], tf.int64), tf.ones(3))
    assert rows_without_profile(profiles, 4).numpy().tolist() == [False, True, False, True]
    scores = tf.constant([[3.0, -1.0], [3.0, -1.0], [0.0, 0.0], [9.0, 8.0]])
    prior = tf.constant([0.25, 0.5])
    found = prior_without_profile(scores, prior, profiles).numpy()
    np.testing.assert_allclose(found, [[3.25, -0.5], [0.25, 0.5], [0.25, 0.5], [0.25, 0.5]])
    lowered = prior_without_profile(scores, prior, profiles, tf.constant([True, False])).numpy()
    np.testing.assert_allclose(lowered, [[-0.75, -0.5], [0.25, 0.5], [0.25, 0.5], [0.25, 0.5]])
