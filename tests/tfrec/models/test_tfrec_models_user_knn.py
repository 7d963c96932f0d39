"""Neighbourhoods of users against plain loops, and the contract of retrieval models."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts import PersonalContract
from tests.tfrec.models.known_items import rated_inputs
from tests.tfrec.models.ratings_by_hand import estimates_by_hand, latest_of
from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tfrec.errors import ConfigError
from tfrec.models.neighbours import neighbourhoods
from tfrec.models.profiles import rating_pairs
from tfrec.models.profiles.cold_start import TIE_BREAK
from tfrec.models.user_knn import UserKNN, UserKNNConfig

NON_DEFAULT = {
    "profile": "training",
    "half_life": 2.5,
    "neighbours": 7,
    "shrinkage": 3.5,
    "idf_power": 0.25,
    "amplification": 2.5,
    "feedback": "explicit",
    "baseline": {"kind": "user", "user_l2": 1.5, "item_l2": 2.5},
    "certainty": 0.75,
}


class TestUserKNN(PersonalContract):
    model = "user_knn"
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.35, 2.5


class TestUserKNNOfALateHistory(PersonalContract):
    model = "user_knn"
    overrides = ("model.profile=history", "model.half_life=3", "model.neighbours=40")
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.6, 4.5


def neighbours_by_hand(query, own, rows, config):
    """[(user, w)] of the nearest other users, by loops; `query` and `rows`: {item: value}."""
    found = []
    for user, row in enumerate(rows):
        product = sum(value * row.get(item, 0.0) for item, value in query.items())
        norms = [math.sqrt(sum(value**2 for value in vector.values())) for vector in (query, row)]
        scale = norms[0] * norms[1] + config.shrinkage
        if user != own and product > 1e-9 and scale:
            found.append((-np.float32(round(product / scale, 6)), user, (product / scale) ** config.amplification))
    return [(user, weight) for _, user, weight in sorted(found)[: config.neighbours]]


def idf(taken, num_items, power):
    takers = [sum(item in row for row in taken) for item in range(num_items)]
    return [math.log((1 + len(taken)) / (1 + n)) ** power for n in takers]


def scores_by_hand(taken, num_items, config):
    weights = idf(taken, num_items, config.idf_power)
    rows = [{item: weights[item] for item in row} for row in taken]
    events = [sum(row.count(item) for row in taken) for item in range(num_items)]
    scores = np.array([[TIE_BREAK * n / max(events) for n in events]] * len(taken))
    for own, row in enumerate(taken):
        query = {item: p * weights[item] for item, p in profile_by_hand(row, config.half_life).items()}
        for user, weight in neighbours_by_hand(query, own, rows, config):
            for item in rows[user]:
                scores[own, item] += weight
    return scores


def predictions_by_hand(rated, num_items, config):
    latest = [latest_of(row) for row in rated]
    mean, users, items = estimates_by_hand(latest, num_items, config.baseline)
    rows = [{i: r - mean - users[u] - items[i] for i, r in row.items()} for u, row in enumerate(latest)]
    found = np.zeros((len(rated), num_items))
    for own, row in enumerate(rated):
        recency = profile_by_hand([item for item, _ in row], config.half_life)
        near = neighbours_by_hand({i: recency[i] * value for i, value in rows[own].items()}, own, rows, config)
        for item in range(num_items):
            above = sum(weight * rows[user][item] for user, weight in near if item in rows[user])
            weights = sum(weight for user, weight in near if item in rows[user]) + config.certainty
            found[own, item] = mean + users[own] + items[item] + (above / weights if weights else 0)
    return found


@settings(max_examples=20, deadline=None)
@given(
    taken=st.lists(st.lists(st.integers(0, 6), max_size=9), min_size=2, max_size=7).filter(any),
    idf_power=st.sampled_from([0.0, 0.5, 1.0]),
    amplification=st.sampled_from([1.0, 2.0]),
    shrinkage=st.sampled_from([0.0, 0.5, 20.0]),
    half_life=st.sampled_from([None, 2.0]),
)
def test_scores_are_those_of_plain_loops(taken, idf_power, amplification, shrinkage, half_life):
    config = UserKNNConfig(
        idf_power=idf_power, amplification=amplification, shrinkage=shrinkage, half_life=half_life, neighbours=6
    )
    inputs = inputs_of(taken, 7)
    model = UserKNN(config, inputs)
    model.fit(inputs)
    found = model.scores(request(range(len(taken)))).numpy()
    np.testing.assert_allclose(found, scores_by_hand(taken, 7, config), rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def many_rated():
    random = np.random.default_rng(3)
    popularity = 1 / np.arange(1, 31)
    return [
        [
            (int(item), float(random.normal(3, 1)))
            for item in random.choice(30, random.integers(0, 20), p=popularity / popularity.sum())
        ]
        for _ in range(40)
    ]


@pytest.mark.parametrize("neighbours", [1, 5, 39, 1000])
@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_only_the_nearest_neighbours_count(many_rated, neighbours, feedback):
    config = UserKNNConfig(neighbours=neighbours, shrinkage=1.3, feedback=feedback, half_life=7.7, certainty=0.2)
    inputs = rated_inputs(many_rated, 30)
    model = UserKNN(config, inputs)
    model.fit(inputs)
    found = model.scores(request(range(40))).numpy()
    taken = [[item for item, _ in row] for row in many_rated]
    by_hand = (
        scores_by_hand(taken, 30, config) if feedback == "implicit" else predictions_by_hand(many_rated, 30, config)
    )
    np.testing.assert_allclose(found, by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_blocks_change_nothing(many_rated, monkeypatch, feedback):
    inputs = rated_inputs(many_rated, 30)
    pairs = {**request([*range(40), *range(40)]), "item_index": tf.constant(np.arange(80) % 30)}

    def answers():
        model = UserKNN(UserKNNConfig(feedback=feedback, neighbours=5), inputs)
        model.fit(inputs)
        rated = [model.predicted_ratings(pairs).numpy()] if feedback == "explicit" else []
        return [model.scores(request(range(40))).numpy(), *rated]

    whole = answers()
    monkeypatch.setattr(neighbourhoods, "BLOCK_VALUES", 1000)
    monkeypatch.setattr(rating_pairs, "BLOCK_VALUES", 600)
    for one, other in zip(answers(), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_predicted_rating_is_the_score_of_the_pair_within_the_range_of_the_ratings(many_rated):
    inputs = rated_inputs(many_rated, 30)
    model = UserKNN(UserKNNConfig(feedback="explicit", certainty=0.0, shrinkage=0.0), inputs)
    model.fit(inputs)
    users = [3, None, 3, 17, 0]
    found = model.predicted_ratings({**request(users), "item_index": tf.constant([4, 5, 6, 7, 29])}).numpy()
    scores = model.scores(request(users)).numpy()
    labels = inputs.train.labels
    expected = np.clip(scores[np.arange(5), [4, 5, 6, 7, 29]], labels.min(), labels.max())
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_new_user_is_the_user_with_the_same_history(many_rated):
    """What stands in a request finds the neighbours that it finds for a user of the training split."""
    taken = [[item for item, _ in row] for row in many_rated]
    inputs = inputs_of(taken, 30, history=25)
    model = UserKNN(UserKNNConfig(neighbours=50, half_life=4.0), inputs)
    model.fit(inputs)
    # All of the 40 neighbours count, so it does not matter that the user is one of them but in what they took.
    known = model.scores(request([7], [[]])).numpy()[0]
    new = model.scores(request([None], [taken[7]])).numpy()[0]
    others = [item for item in range(30) if item not in taken[7]]
    np.testing.assert_allclose(new[others], known[others], rtol=1e-5)


@pytest.mark.parametrize("amplification", [1.0, 2.5])
def test_reasons_add_up_to_the_score_but_for_the_item_itself(many_rated, amplification):
    taken = [[item for item, _ in row] for row in many_rated]
    inputs = inputs_of(taken, 30)
    model = UserKNN(UserKNNConfig(neighbours=8, half_life=5.0, amplification=amplification), inputs)
    model.fit(inputs)
    users = [user for user in range(40) if taken[user]][:8]
    scores = model.scores(request(users)).numpy()
    items = tf.tile(tf.range(30, dtype=tf.int64)[None], [len(users), 1])
    labels, weights = (values.numpy() for values in model.explain(request(users), items, 30))
    checked = 0
    for row, user in enumerate(users):
        for item in range(30):
            named = [label.decode() for label in labels[row, item] if label]
            if named == ["popularity"]:
                continue
            assert {int(label.removeprefix("item:")) for label in named} <= set(taken[user]) - {item}
            if item not in taken[user]:
                np.testing.assert_allclose(weights[row, item].sum(), scores[row, item], rtol=1e-3, atol=3e-6)
                checked += 1
    assert checked > 50


def test_ratings_of_a_dataset_without_a_rating_are_refused():
    with pytest.raises(ConfigError, match="feedback=explicit: the dataset has no label"):
        UserKNN(UserKNNConfig(feedback="explicit"), inputs_of([[0, 1]], 3))
    binary = rated_inputs([[(0, 1.0), (1, 0.0)]], 3, label={"threshold": 4})
    with pytest.raises(ConfigError, match="the dataset has a binary label"):
        UserKNN(UserKNNConfig(feedback="explicit"), binary)


def test_what_grows_with_the_users_is_stated(many_rated):
    inputs = rated_inputs(many_rated, 30)
    config = UserKNNConfig(neighbours=5)
    model = UserKNN(config, inputs)
    norms, splits = model._neighbourhoods._norms, model._neighbourhoods.rows._splits
    taken = 4 * tf.size(norms).numpy() + 8 * tf.size(splits).numpy()
    shapes = {shape.name: shape for shape in UserKNN.table_shapes(config, inputs.schema, inputs.num_ids, 30)}
    stated = shapes["norms_and_splits"]
    assert taken <= 4 * stated.rows * stated.dim <= 1.2 * taken
    block = shapes["block_of_queries"]
    assert block.rows * block.dim >= 3 * model._neighbourhoods._queries_at_once * 40
