"""Transitions against plain loops, worlds whose next item is known, and the contract of retrieval models."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import inputs_of, request
from tfrec.errors import ConfigError
from tfrec.models import markov
from tfrec.models.markov import Markov, MarkovConfig
from tfrec.models.neighbours.largest import blocks_of_like_length
from tfrec.models.profiles.cold_start import TIE_BREAK

NON_DEFAULT = {
    "profile": "training",
    "half_life": 2.5,
    "order": 3,
    "distance": 4,
    "distance_half_life": 1.5,
    "gap_half_life_hours": 12.0,
    "shrinkage": 3.5,
    "popularity_power": 0.25,
    "followers": 7,
}
HOUR_MS = 3_600_000


class TestMarkov(PersonalContract):
    model = "markov"
    overrides = ("model.distance=20", "model.distance_half_life=10", "model.order=20", "model.half_life=8")
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.4, 2.5

    def test_the_stated_table_shapes_are_those_of_the_table(self, trained):
        model, data, config = trained
        shapes = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, data.catalogue.size)
        assert [(s.rows, s.dim) for s in shapes] == [tuple(v.shape) for v in model._weights.state]


def fitted(config, inputs):
    model = Markov(config, inputs)
    model.fit(inputs)
    return model


def halved(by, half_life):
    return 1.0 if half_life is None else 0.5 ** (by / half_life)


def last_items(row, config):
    """[(item, weight)] of the last distinct items, the latest first."""
    latest = list(dict.fromkeys(reversed(row)))[: config.order]
    return [(item, halved(place, config.half_life)) for place, item in enumerate(latest)]


def transitions_by_hand(taken, times_ms, num_items, config):
    counts = np.zeros((num_items, num_items))
    for row, times in zip(taken, times_ms, strict=True):
        for late in range(len(row)):
            for early in range(max(late - config.distance, 0), late):
                gap = (times[late] - times[early]) / HOUR_MS
                weight = halved(late - early - 1, config.distance_half_life) * halved(gap, config.gap_half_life_hours)
                counts[row[early], row[late]] += weight
    return counts


def scores_by_hand(taken, times_ms, num_items, config):
    counts = transitions_by_hand(taken, times_ms, num_items, config)
    events = [sum(row.count(item) for row in taken) for item in range(num_items)]
    scores = np.zeros((len(taken), num_items))
    for user, row in enumerate(taken):
        for j in range(num_items):
            scores[user, j] = TIE_BREAK * events[j] / max(events)
            for i, weight in last_items(row, config):
                total = sum(counts[i]) + config.shrinkage
                if total > 0 and events[j] > 0:
                    share = (counts[i, j] + config.shrinkage * events[j] / sum(events)) / total
                    scores[user, j] += weight * share / events[j] ** config.popularity_power
    return scores


@settings(max_examples=50, deadline=None)
@given(
    taken=st.lists(st.lists(st.integers(0, 6), max_size=9), min_size=1, max_size=6).filter(any),
    order=st.integers(1, 4),
    distance=st.integers(1, 12),
    half_lives=st.tuples(*[st.sampled_from([None, 0.7, 4.0])] * 3),
    shrinkage=st.sampled_from([0.0, 0.5, 20.0]),
    power=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_scores_are_those_of_plain_loops(taken, order, distance, half_lives, shrinkage, power, seed):
    random = np.random.default_rng(seed)
    times_ms = [np.sort(random.integers(0, 20 * HOUR_MS, len(row))).tolist() for row in taken]
    config = MarkovConfig(
        order=order,
        distance=distance,
        half_life=half_lives[0],
        distance_half_life=half_lives[1],
        gap_half_life_hours=half_lives[2],
        shrinkage=shrinkage,
        popularity_power=power,
    )
    model = fitted(config, inputs_of(taken, 8, times_ms=times_ms))
    found = model.scores(request(range(len(taken)))).numpy()
    np.testing.assert_allclose(found, scores_by_hand(taken, times_ms, 8, config), rtol=1e-5, atol=1e-7)


def test_blocks_change_nothing(monkeypatch):
    random = np.random.default_rng(3)
    taken = [random.integers(0, 12, 15).tolist() for _ in range(60)]

    def scores():
        inputs = inputs_of(taken, 12)
        return fitted(MarkovConfig(followers=3), inputs).scores(request(range(60))).numpy()

    whole = scores()
    monkeypatch.setattr(markov, "BLOCK_VALUES", 7)
    np.testing.assert_array_equal(scores(), whole)


def test_only_the_most_probable_followers_are_kept():
    taken = [[0, 1], [0, 1], [0, 1], [0, 2], [0, 2], [0, 3]]
    config = MarkovConfig(followers=2, shrinkage=0, popularity_power=0, profile="history")
    found = fitted(config, inputs_of(taken, 5, 3)).scores(request([None], [[0]])).numpy()[0]
    np.testing.assert_allclose(found, [TIE_BREAK, 1 / 2, 1 / 3, 0, 0], atol=2 * TIE_BREAK)


def test_a_history_of_the_request_changes_the_answer_at_once():
    """Everyone took everything: company says nothing, order says all."""
    ring = [[0, 1, 2, 3, 4], [3, 4, 0, 1, 2], [1, 2, 3, 4, 0]]
    model = fitted(MarkovConfig(order=1, distance=1), inputs_of(ring, 5, 4))
    found = model.scores(request([0, 0, None], [[0, 1], [0, 1, 2], [3]])).numpy()
    assert found.argmax(axis=1).tolist() == [2, 3, 4]


def test_the_item_before_the_last_decides_where_the_last_says_nothing():
    """0 leads to 2 and 1 leads to 3, by way of anything between."""
    taken = [[start, between, start + 2] for between in range(4, 9) for start in (0, 1)]
    inputs = inputs_of(taken, 9, 2)

    def lead(**more):
        config = MarkovConfig(profile="history", distance=2, half_life=None, distance_half_life=None, **more)
        scores = fitted(config, inputs).scores(request([None, None], [[0, 5], [1, 5]])).numpy()
        return scores[:, 2] - scores[:, 3]

    after_0, after_1 = lead(order=2)
    assert after_0 > 0.001 > -0.001 > after_1
    np.testing.assert_allclose(lead(order=1), 0, atol=1e-7)


def test_an_item_that_nobody_went_on_from_backs_off_to_popularity():
    model = fitted(MarkovConfig(profile="history"), inputs_of([[0, 1], [0, 1], [0, 2], [3]], 5, 2))
    scores = model.scores(request([None, None], [[3], [4]])).numpy()
    assert (np.argsort(-scores, kind="stable")[:, :2] == [0, 1]).all()


def test_reasons_are_what_each_of_the_last_items_adds():
    taken = [[0, 1, 2], [0, 2, 1], [1, 2, 0], [3, 1, 2]]
    config = MarkovConfig(profile="history", order=2, half_life=1.0, shrinkage=0, popularity_power=0, distance=1)
    model = fitted(config, inputs_of(taken, 5, 4))
    found = model.explain(request([None], [[3, 0, 1]]), tf.constant([[2, 4]], tf.int64), 3)
    counts = transitions_by_hand(taken, [[0] * 3] * 4, 5, config)
    expected = [counts[1, 2] / counts[1].sum(), 0.5 * counts[0, 2] / counts[0].sum()]
    assert found.labels.numpy()[0].tolist() == [[b"item:1", b"item:0", b""], [b"popularity", b"", b""]]
    np.testing.assert_allclose(found.weights.numpy()[0, 0], [*expected, 0], rtol=1e-6)


def test_gaps_need_times():
    with pytest.raises(ConfigError, match=r"model\.gap_half_life_hours=3: the dataset has no timestamp"):
        Markov(MarkovConfig(gap_half_life_hours=3), inputs_of([[0, 1]], 2))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=20), st.integers(1, 10), st.integers(1, 60))
def test_blocks_hold_every_row_once_and_have_room_for_it(lengths, width, values):
    lengths = np.array(lengths, int)
    blocks = [rows.tolist() for rows in blocks_of_like_length(lengths, width, values)]
    assert sorted(row for rows in blocks for row in rows) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * max(width, *lengths[rows]) <= values for rows in blocks)
