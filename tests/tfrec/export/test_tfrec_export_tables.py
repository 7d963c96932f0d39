"""What a request gives beside what the table has for the id, against a table that is written down."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrec.export.tables import FeatureTable, request_features
from tfrec.schema import Schema

NAN = math.nan
SEQUENCE = {"role": "user", "kind": "sequence", "length": 3}
SCHEMA = Schema.model_validate(
    {
        "name": "requests",
        "features": {
            "user": {"role": "user", "kind": "categorical", "id": True},
            "item": {"role": "item", "kind": "categorical", "id": True},
            "age": {"role": "user", "kind": "numeric"},
            "past": SEQUENCE,
            "past_stars": {**SEQUENCE, "of": "label"},
            "past_times": {**SEQUENCE, "of": "event_time_ms"},
            "liked": {**SEQUENCE, "labels": "positive"},
            "tags": {"role": "user", "kind": "categorical", "list": True, "max_values": 3},
            "tag_weights": {"role": "user", "kind": "weights", "of": "tags", "list": True},
            "taste": {"role": "user", "kind": "vector", "length": 3, "list": True},
        },
        "label": {"column": "stars"},
        "timestamp": {"column": "time"},
        "split": {"strategy": "leave_one_out"},
    }
)
STORED = {
    "age": np.array([30.0], np.float32),
    "past": np.array([[7, 8, 9]]),
    "past_stars": np.array([[1, 2, 3]], np.float32),
    "past_times": np.array([[10, 20, 30]]),
    "liked": np.array([[9, 0, 0]]),
    "tags": np.array([[5, 6, 0]]),
    "tag_weights": np.array([[0.5, 2, 0]], np.float32),
    "taste": np.array([[1, 2, 3]], np.float32),
}
NOTHING = {"age": [NAN], "past": [[""]], "past_stars": [[NAN]], "past_times": [[0]], "liked": [[""]]}
NOTHING |= {"tags": [[""]], "tag_weights": [[NAN]], "taste": [[NAN]]}
DTYPES = {"age": tf.float32, "past": tf.string, "past_stars": tf.float32, "past_times": tf.int64, "liked": tf.string}
DTYPES |= {"tags": tf.string, "tag_weights": tf.float32, "taste": tf.float32}


def transform(raw):
    """Numbers as they are, items of a sequence by their digits; padded with 0."""
    found = {}
    for name, values in raw.items():
        if values.dtype == tf.string and name != "user":
            values = tf.strings.to_number(tf.where(values == "", "0", values), tf.int64)
        if values.dtype.is_floating:
            values = tf.where(tf.math.is_nan(values), 0.0, values)
        found[name] = tf.pad(values, [[0, 0], [0, 3 - values.shape[1]]]) if values.shape.rank == 2 else values
    return found


def answer(**given):
    """Features of a user whom the table has, and of one whom it has not."""
    table = FeatureTable(STORED, SCHEMA, transform)
    raw = {name: tf.constant(given.get(name, values), DTYPES[name]) for name, values in NOTHING.items()}
    raw["user"] = tf.constant(["known", "nobody"])
    found = request_features(raw, "user", tf.constant([0, 1], tf.int64), table, transform)
    return {name: np.asarray(values).tolist() for name, values in found.items() if name != "user"}


def test_what_is_not_given_is_that_of_the_table_and_of_an_unknown_user_nothing():
    expected = {name: [values[0].tolist(), np.zeros_like(values[0]).tolist()] for name, values in STORED.items()}
    assert answer() == expected


def test_a_single_value_is_given_alone():
    assert answer(age=[44.0]) == {**answer(), "age": [44.0, 44.0]}


@pytest.mark.parametrize("stars", [None, [[5.0, 0.0]]])
def test_a_history_comes_without_what_the_table_says_of_other_events(stars):
    given = {"past": [["4", "5"]]} | ({} if stars is None else {"past_stars": stars})
    found = answer(**given)
    for row in range(2):
        assert found["past"][row] == [4, 5, 0]
        assert found["past_times"][row] == [0, 0, 0]
        np.testing.assert_array_equal(found["past_stars"][row], [NAN] * 3 if stars is None else [5, 0, 0])
    assert found["liked"] == answer()["liked"]  # of other events than the history


def test_values_come_without_the_weights_that_the_table_has_of_others():
    found = answer(tags=[["4", "3"]], tag_weights=[[7.0, NAN]])
    assert (found["tags"], found["tag_weights"]) == ([[4, 3, 0]] * 2, [[7, 0, 0]] * 2)
    alone = answer(tags=[["4", "3"]])  # the transform makes of missing weights what belongs to these values
    assert (alone["tags"], alone["tag_weights"]) == ([[4, 3, 0]] * 2, [[0, 0, 0]] * 2)


def test_weights_without_their_values_are_not_put_on_those_of_the_table():
    assert answer(tag_weights=[[7.0, 1.0]]) == answer()


def test_a_vector_is_given_whole():
    assert answer(taste=[[4.0, 0.0, 6.0]]) == {**answer(), "taste": [[4, 0, 6]] * 2}
