"""Popularity against loops over the events, and the contract of retrieval models."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts import RetrievalContract
from tests.tfrec.models.taken_items import inputs_of, request
from tfrec.errors import ConfigError
from tfrec.models.popularity import MS_PER_DAY, Popularity, PopularityConfig

NON_DEFAULT = {"half_life_days": 3.5, "window_days": 60.0}


class TestPopularity(RetrievalContract):
    model = "popularity"
    non_default = NON_DEFAULT
    gain_over_popularity = 1.0

    def test_scores_are_the_training_counts_of_the_log(self, trained, log):
        model, data, _ = trained
        expected = dict.fromkeys(log.items, 0)
        for event in log.of_split("train"):
            expected[event.item_id] += 1
        scores = model.scores({"user_id": tf.constant([1, 2])}).numpy()
        for row in scores:
            assert {item_id.decode(): n for item_id, n in zip(data.catalogue.ids, row, strict=True)} == expected


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(st.tuples(st.integers(0, 4), st.floats(0, 400)), max_size=30),
    half_life=st.sampled_from([None, 0.5, 30.0]),
    window=st.sampled_from([None, 7.0, 100.0]),
)
def test_scores_are_decayed_counts_of_the_window(events, half_life, window):
    times = [[int(days * MS_PER_DAY) for _, days in events]]
    inputs = inputs_of([[item for item, _ in events]], 5, times_ms=times)
    model = Popularity(PopularityConfig(half_life_days=half_life, window_days=window), inputs)
    model.fit(inputs)
    expected = np.zeros(5)
    for (item, _), time_ms in zip(events, times[0], strict=True):
        days_ago = (max(times[0]) - time_ms) / MS_PER_DAY
        if window is None or days_ago <= window:
            expected[item] += 1 if half_life is None else 0.5 ** (days_ago / half_life)
    np.testing.assert_allclose(model.scores(request([0])).numpy()[0], expected, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("key", ["half_life_days", "window_days"])
def test_times_are_refused_where_the_dataset_has_none(key):
    message = rf"model\.{key}=7: the dataset has no timestamp; leave it out, or add 'timestamp' to dataset\.yaml"
    with pytest.raises(ConfigError, match=message):
        Popularity(PopularityConfig(**{key: 7.0}), inputs_of([[0]], 2))


def test_only_a_dataset_with_times_is_searched_for_a_half_life():
    assert Popularity.searched(inputs_of([[0]], 2).schema) == {}
    assert Popularity.searched(inputs_of([[0]], 2, times_ms=[[5]]).schema) == Popularity.search_space != {}
