"""Ratings predicted from item neighbourhoods, against plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfrec.models.known_items import rated_inputs, with_schema
from tests.tfrec.models.ratings_by_hand import estimates_by_hand, latest_of
from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tfrec.errors import ConfigError
from tfrec.models.base import rates
from tfrec.models.item_knn import ItemKNN, ItemKNNConfig
from tfrec.models.profiles.rating_baselines import BaselineConfig

ITEMS = 6


def predictions_by_hand(rated, num_items, config):
    """Predictions and Σ p W behind them, [users, num_items]; (user, item) → {item of the user: what it adds}."""
    latest = [latest_of(row) for row in rated]
    mean, users, items = estimates_by_hand(latest, num_items, config.baseline)
    above = [{i: r - mean - users[u] - items[i] for i, r in row.items()} for u, row in enumerate(latest)]
    norms = [math.sqrt(sum(row.get(i, 0.0) ** 2 for row in above)) for i in range(num_items)]
    weights = np.zeros((num_items, num_items))
    for i in range(num_items):
        similar = []
        for j in range(num_items):
            product = sum(row.get(i, 0.0) * row.get(j, 0.0) for row in above)
            scale = norms[i] ** (2 * config.profile_power) * norms[j] ** (2 * config.candidate_power) + config.shrinkage
            if i != j and product > 1e-9:
                similar.append((-np.float32(round(product / scale, 6)), j, product / scale))
        for _, j, weight in sorted(similar)[: config.neighbours]:
            weights[i, j] = weight
    found, supports, parts = np.zeros((len(rated), num_items)), np.zeros((len(rated), num_items)), {}
    for user, row in enumerate(rated):
        recency = profile_by_hand([item for item, _ in row], config.half_life)
        for j in range(num_items):
            supports[user, j] = sum(recency[i] * weights[i, j] for i in recency)
            scale = supports[user, j] + config.certainty
            parts[user, j] = {i: recency[i] * weights[i, j] * above[user][i] / scale for i in recency if scale}
            found[user, j] = mean + users[user] + items[j] + sum(parts[user, j].values())
    return found, supports, parts


rated_rows = st.lists(
    st.lists(st.tuples(st.integers(0, ITEMS - 1), st.sampled_from([1.0, 2.0, 3.5, 5.0])), max_size=7),
    min_size=1,
    max_size=6,
).filter(any)


@settings(max_examples=25, deadline=None)
@given(
    rated=rated_rows,
    baseline=st.sampled_from(
        [BaselineConfig(), BaselineConfig(kind="user", user_l2=0.0), BaselineConfig(user_l2=2.0, item_l2=0.5)]
    ),
    certainty=st.sampled_from([0.0, 0.3]),
    shrinkage=st.sampled_from([0.5, 20.0]),
    half_life=st.sampled_from([None, 2.0]),
)
def test_scores_are_the_predictions_of_plain_loops(rated, baseline, certainty, shrinkage, half_life):
    config = ItemKNNConfig(
        feedback="explicit",
        baseline=baseline,
        certainty=certainty,
        shrinkage=shrinkage,
        half_life=half_life,
        neighbours=ITEMS,
    )
    inputs = rated_inputs(rated, ITEMS)
    model = ItemKNN(config, inputs)
    model.fit(inputs)
    found = model.scores(request(range(len(rated)))).numpy()
    expected, supports, _ = predictions_by_hand(rated, ITEMS, config)
    # Without certainty it is a mean of what float32 rounds, where similarities are next to nothing.
    is_clear = (supports > 1e-3) | bool(certainty)
    np.testing.assert_allclose(found[is_clear], expected[is_clear], rtol=1e-4, atol=1e-3 if not certainty else 1e-4)


@pytest.fixture(scope="module")
def many_rated():
    random = np.random.default_rng(5)
    popularity = 1 / np.arange(1, 31)
    return [
        [
            (int(item), float(random.normal(3, 1)))
            for item in random.choice(30, random.integers(0, 20), p=popularity / popularity.sum())
        ]
        for _ in range(50)
    ]


@pytest.mark.parametrize("neighbours", [3, 29])
def test_only_the_nearest_neighbours_count(many_rated, neighbours):
    config = ItemKNNConfig(feedback="explicit", neighbours=neighbours, shrinkage=1.0, candidate_power=0.4)
    inputs = rated_inputs(many_rated, 30)
    model = ItemKNN(config, inputs)
    model.fit(inputs)
    found = model.scores(request(range(50))).numpy()
    np.testing.assert_allclose(found, predictions_by_hand(many_rated, 30, config)[0], rtol=1e-4, atol=1e-4)


def test_with_the_users_mean_and_no_certainty_it_is_sarwars_weighted_sum():
    """Hand calculation. Two users agree, the third has rated item 0 alone: adjusted cosines, then a weighted mean."""
    rated = [[(0, 5.0), (1, 5.0), (2, 2.0)], [(0, 4.0), (1, 4.0), (2, 1.0)], [(0, 3.0), (2, 3.0)]]
    baseline = BaselineConfig(kind="user", user_l2=0.0)
    config = ItemKNNConfig(feedback="explicit", baseline=baseline, shrinkage=0.0, certainty=0.0, neighbours=2)
    inputs = rated_inputs(rated, 3)
    model = ItemKNN(config, inputs)
    model.fit(inputs)
    # Above the users' means of 4, 3 and 3: item 0: 1, 1, 0; item 1: 1, 1; item 2: −2, −2, 0. So W_01 = 1, W_02 < 0.
    scores = model.scores(request([2])).numpy()[0]
    assert scores[1] == pytest.approx(3.0)  # Σ W r / Σ W over item 0 alone
    known = model.scores(request([0])).numpy()[0]
    assert known[1] == pytest.approx(5.0)
    assert known[2] == pytest.approx(4.0)  # nothing like it was rated: the user's mean


def test_a_predicted_rating_is_the_score_of_the_pair_within_the_range_of_the_ratings(many_rated):
    inputs = rated_inputs(many_rated, 30)
    model = ItemKNN(ItemKNNConfig(feedback="explicit", certainty=0.0), inputs)
    model.fit(inputs)
    users, items = [3, None, 3, 17, 0, 5], [4, 5, 6, 7, 29, 0]
    found = model.predicted_ratings({**request(users), "item_index": tf.constant(items)}).numpy()
    scores = model.scores(request(users)).numpy()[np.arange(6), items]
    labels = inputs.train.labels
    np.testing.assert_allclose(found, np.clip(scores, labels.min(), labels.max()), rtol=1e-6)
    nobody = model.predicted_ratings({**request([]), "item_index": tf.zeros([0], tf.int64)})
    assert nobody.shape == (0,)


def test_a_new_users_rated_history_predicts_what_it_would_have_in_training(many_rated):
    inputs = rated_inputs(many_rated, 30, history=25)
    sequence = {"role": "user", "kind": "sequence", "length": 25, "of": "label"}
    inputs = with_schema(inputs, features={"ratings": sequence})
    model = ItemKNN(ItemKNNConfig(feedback="explicit", half_life=6.0), inputs)
    model.fit(inputs)
    assert model.required_features == {"user_id", "history", "ratings"}
    longest = max(range(50), key=lambda user: len(many_rated[user]))
    items = [item for item, _ in many_rated[longest]]
    given = [rating for _, rating in many_rated[longest]]
    new = {**request([None], [items]), "ratings": tf.constant([given])}
    known = {**request([longest], [[]]), "ratings": tf.constant([[0.0]])}
    np.testing.assert_allclose(model.scores(new), model.scores(known), rtol=1e-5)


def test_reasons_are_what_they_add_to_the_predicted_rating(many_rated):
    inputs = rated_inputs(many_rated, 30)
    config = ItemKNNConfig(feedback="explicit", neighbours=29, half_life=5.0)
    model = ItemKNN(config, inputs)
    model.fit(inputs)
    items = tf.tile(tf.range(30, dtype=tf.int64)[None], [50, 1])
    labels, weights = (values.numpy() for values in model.explain(request(range(50)), items, 30))
    assert (np.diff(weights, axis=2) <= 1e-6).all()
    for (user, item), parts in predictions_by_hand(many_rated, 30, config)[2].items():
        named = {label.decode(): w for label, w in zip(labels[user, item], weights[user, item], strict=True) if label}
        # What the user liked less speaks against the item, and is no reason.
        expected = {f"item:{other}": part for other, part in parts.items() if part > 1e-5 and other != item}
        if expected or named == {"popularity": 1.0}:
            clear = {label: weight for label, weight in named.items() if weight > 1e-5 and label != "popularity"}
            assert clear == pytest.approx(expected, rel=1e-3, abs=1e-5)
        else:
            assert max(named.values()) <= 2e-5


def test_ratings_are_predicted_only_where_the_config_asks_for_them(many_rated):
    inputs = rated_inputs(many_rated, 30)
    assert rates(ItemKNN, ItemKNNConfig(feedback="explicit"), inputs.schema)
    assert not rates(ItemKNN, ItemKNNConfig(), inputs.schema)
    with pytest.raises(ConfigError, match="feedback=explicit: the dataset has no label"):
        ItemKNN(ItemKNNConfig(feedback="explicit"), inputs_of([[0, 1]], 3))


def test_a_profile_of_the_history_needs_ratings_beside_it(many_rated):
    inputs = rated_inputs(many_rated, 30, history=5)
    with pytest.raises(ConfigError, match="the dataset has no ratings beside its history"):
        ItemKNN(ItemKNNConfig(feedback="explicit", profile="history"), inputs)
