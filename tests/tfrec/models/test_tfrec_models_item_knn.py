"""Item neighbourhoods against plain loops, and the contract of retrieval models."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tfrec.models import item_knn
from tfrec.models.item_knn import ItemKNN, ItemKNNConfig
from tfrec.models.neighbours import item_weights
from tfrec.models.neighbours.largest import largest_of_rows
from tfrec.models.profiles.cold_start import TIE_BREAK

NON_DEFAULT = {
    "profile": "training",
    "half_life": 2.5,
    "neighbours": 7,
    "shrinkage": 3.5,
    "profile_power": 0.25,
    "candidate_power": 0.75,
    "weighting": "binary",
    "feedback": "explicit",
    "baseline": {"kind": "user", "user_l2": 1.5, "item_l2": 2.5},
    "certainty": 0.75,
}


class TestItemKNN(PersonalContract):
    model = "item_knn"
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.3, 2.0

    def test_the_stated_table_shapes_are_those_of_the_table(self, trained):
        model, data, config = trained
        shapes = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, data.catalogue.size)
        assert [(s.rows, s.dim) for s in shapes] == [tuple(v.shape) for v in model._weights.state]


class TestItemKNNOfALateHistory(PersonalContract):
    model = "item_knn"
    overrides = ("model.profile=history", "model.half_life=5", "model.weighting=tf_idf", "model.neighbours=20")
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.6, 4.0


def entries(taken, num_items, weighting):
    """x[user][item], by the definitions."""
    events = [sum(row.count(item) for row in taken) for item in range(num_items)]
    mean = sum(events) / num_items
    matrix = np.zeros((len(taken), num_items))
    for user, row in enumerate(taken):
        idf = max(math.log(num_items / (1 + len(set(row)))), 0)
        for item in set(row):
            n = row.count(item)
            matrix[user, item] = {
                "binary": 1.0,
                "tf_idf": math.sqrt(n) * idf,
                "bm25": n * 2.2 / (n + 1.2 * (0.25 + 0.75 * events[item] / mean)) * idf,
            }[weighting]
    return matrix


def scores_by_hand(taken, num_items, config):
    """Scores of every user by loops over items; similarities of equal size go to the lower item."""
    x = entries(taken, num_items, config.weighting)
    events = [sum(row.count(item) for row in taken) for item in range(num_items)]
    scores = np.array([[TIE_BREAK * n / max(events) for n in events]] * len(taken))
    for i in range(num_items):
        similar = []
        for j in range(num_items):
            product = sum(x[user, i] * x[user, j] for user in range(len(taken)))
            if i == j or product == 0:
                continue
            norm_i, norm_j = (sum(x[user, k] ** 2 for user in range(len(taken))) for k in (i, j))
            value = product / (norm_i**config.profile_power * norm_j**config.candidate_power + config.shrinkage)
            similar.append((-np.float32(round(value, 6)), j, value))
        for _, j, value in sorted(similar)[: config.neighbours]:
            for user, row in enumerate(taken):
                scores[user, j] += profile_by_hand(row, config.half_life).get(i, 0.0) * value
    return scores


@settings(max_examples=60, deadline=None)
@given(
    taken=st.lists(st.lists(st.integers(0, 6), max_size=9), min_size=1, max_size=7).filter(any),
    weighting=st.sampled_from(["binary", "tf_idf", "bm25"]),
    powers=st.tuples(st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    shrinkage=st.sampled_from([0.0, 0.5, 20.0]),
    half_life=st.sampled_from([None, 2.0]),
)
def test_scores_are_those_of_plain_loops(taken, weighting, powers, shrinkage, half_life):
    config = ItemKNNConfig(
        weighting=weighting,
        profile_power=powers[0],
        candidate_power=powers[1],
        shrinkage=shrinkage,
        half_life=half_life,
        neighbours=6,
    )
    inputs = inputs_of(taken, 7)
    model = ItemKNN(config, inputs)
    model.fit(inputs)
    found = model.scores(request(range(len(taken)))).numpy()
    np.testing.assert_allclose(found, scores_by_hand(taken, 7, config), rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def many_taken():
    random = np.random.default_rng(3)
    popularity = 1 / np.arange(1, 41)
    return [random.choice(40, random.integers(0, 25), p=popularity / popularity.sum()).tolist() for _ in range(60)]


@pytest.mark.parametrize("neighbours", [1, 5, 39, 1000])
def test_only_the_nearest_neighbours_count(many_taken, neighbours):
    # Irregular numbers in the norms, so that no two similarities are equal and the cut is one for both.
    config = ItemKNNConfig(neighbours=neighbours, weighting="bm25", candidate_power=0.4, shrinkage=1.0)
    inputs = inputs_of(many_taken, 40)
    model = ItemKNN(config, inputs)
    model.fit(inputs)
    found = model.scores(request(range(60))).numpy()
    np.testing.assert_allclose(found, scores_by_hand(many_taken, 40, config), rtol=1e-5, atol=1e-7)


def test_blocks_change_nothing(many_taken, monkeypatch):
    def scores():
        inputs = inputs_of(many_taken, 40)
        model = ItemKNN(ItemKNNConfig(neighbours=5), inputs)
        model.fit(inputs)
        return model.scores(request(range(60))).numpy()

    whole = scores()
    monkeypatch.setattr(item_knn, "BLOCK_VALUES", 90)
    monkeypatch.setattr(item_weights, "PAIRS_AT_ONCE", 11)
    np.testing.assert_allclose(scores(), whole, rtol=1e-6)


def test_fitting_leaves_the_interactions_in_the_order_of_time(many_taken):
    inputs = inputs_of(many_taken, 40)
    ItemKNN(ItemKNNConfig(), inputs).fit(inputs)
    assert [inputs.train.of_user(user).tolist() for user in range(60)] == many_taken


def test_a_user_of_whom_nothing_is_known_gets_the_popular_items(many_taken):
    inputs = inputs_of(many_taken, 40)
    model = ItemKNN(ItemKNNConfig(), inputs)
    model.fit(inputs)
    scores = model.scores(request([None])).numpy()[0]
    np.testing.assert_allclose(scores / scores.max(), inputs.train.item_counts() / inputs.train.item_counts().max())


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 6).flatmap(
        lambda columns: st.lists(
            st.lists(st.sampled_from([0.0, -1.0, 0.25, 0.5, 3.0]), min_size=columns, max_size=columns), min_size=1
        )
    ),
    st.integers(1, 8),
)
def test_the_largest_of_each_row_are_those_of_a_sort(rows, width):
    columns, values = largest_of_rows(sparse.csr_array(np.array(rows, np.float32)), width)
    for row, ids, found in zip(rows, columns, values, strict=True):
        best = sorted((-value, column) for column, value in enumerate(row) if value > 0)[:width]
        best += [(0.0, 0)] * (width - len(best))
        assert [(-value, column) for value, column in zip(found.tolist(), ids.tolist(), strict=True)] == best
