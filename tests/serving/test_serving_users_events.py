"""What an event adds to a user's histories: the same as the transforms would write."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.users import Event, UserRecord
from serving.users.event import current_sequences, with_event
from tfrec.errors import SchemaError
from tfrec.schema import Schema

FEATURES = {
    "user": {"role": "user", "kind": "categorical", "id": True},
    "item": {"role": "item", "kind": "categorical", "id": True},
    "device": {"role": "context", "kind": "categorical"},
    "past": {"role": "user", "kind": "sequence", "length": 3},
    "past_devices": {"role": "user", "kind": "sequence", "length": 3, "of": "device"},
    "ratings": {"role": "user", "kind": "sequence", "length": 3, "of": "label"},
    "times": {"role": "user", "kind": "sequence", "length": 2, "of": "event_time_ms"},
    "gaps": {"role": "user", "kind": "sequence", "length": 3, "of": "gap_seconds"},
    "liked": {"role": "user", "kind": "sequence", "length": 3, "labels": "positive"},
    "here": {"role": "user", "kind": "sequence", "length": 3, "within": "session"},
}
SCHEMA = Schema.model_validate(
    {
        "name": "t",
        "features": FEATURES,
        "label": {"column": "rating", "threshold": 4},
        "timestamp": {"column": "time", "unit": "ms"},
        "sessions": {"gap_minutes": 1},
    }
)


def after(events, schema=SCHEMA):
    record = UserRecord({"age": 3.0})
    for event in events:
        record = with_event(record, event, schema)
    return record


def test_each_sequence_grows_by_its_own_rule():
    events = [
        Event("a", 0, 5, {"device": "tv"}),
        Event("b", 30_000, 2, {"device": "phone"}),
        Event("c", 200_000, 4, {"device": "tv"}),
        Event("d", 201_500, None, {"device": "tv"}),
    ]
    record = after(events)
    assert record.features == {"age": 3.0}
    assert record.last_event_ms == 201_500
    ratings = record.sequences.pop("ratings")
    assert ratings[:2] == [2, 4]
    assert math.isnan(ratings[2])
    assert record.sequences == {
        "past": ["b", "c", "d"],
        "past_devices": ["phone", "tv", "tv"],
        "times": [200_000, 201_500],
        "gaps": [30.0, 170.0, 1.5],
        "liked": ["a", "c"],
        "here": ["c", "d"],
    }


def test_a_session_is_over_after_the_gap():
    record = after([Event("a", 0, 5, {"device": "tv"})])
    assert current_sequences(record, SCHEMA, 60_000)["here"] == ["a"]
    assert current_sequences(record, SCHEMA, 60_001)["here"] == []
    assert current_sequences(record, SCHEMA, 60_001)["past"] == ["a"]


@pytest.mark.parametrize(
    ("label", "value", "is_positive"),
    [
        ({"column": "r"}, 0.5, True),
        ({"column": "r"}, 0, False),
        ({"column": "r", "threshold": 4}, 4, True),
        ({"column": "r", "threshold": 4}, "3.9", False),
        ({"column": "r", "values": ["click"]}, "click", True),
        ({"column": "r", "values": ["click"]}, "view", False),
        ({"column": "r"}, None, False),
    ],
)
def test_a_positive_history_takes_what_the_label_calls_positive(label, value, is_positive):
    features = {name: FEATURES[name] for name in ("user", "item", "liked")}
    schema = Schema.model_validate({"name": "t", "features": features, "label": label, "split": {"strategy": "random"}})
    assert after([Event("a", 0, value)], schema).sequences == {"liked": ["a"] if is_positive else []}


def test_an_event_without_what_a_history_consists_of_is_an_error():
    with pytest.raises(SchemaError, match=r"the event has no 'device'.*Event\(values=…\)"):
        after([Event("a", 0, 1)])
    with pytest.raises(SchemaError, match="label is 'good'; a history of labels needs numbers"):
        after([Event("a", 0, "good", {"device": "tv"})])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12))
def test_a_history_is_the_last_items_in_the_order_of_events(items):
    events = [Event(str(item), i * 1000, 5, {"device": "x"}) for i, item in enumerate(items)]
    sequences = after(events).sequences
    assert sequences.get("past", []) == [str(item) for item in items][-3:]


def test_a_record_is_the_same_after_it_was_written():
    record = after([Event("ä", 7, None, {"device": "tv"})])
    read = UserRecord.from_json(record.to_json())
    assert math.isnan(read.sequences.pop("ratings")[0])
    record.sequences.pop("ratings")
    assert read == record
    with pytest.raises(ValueError, match="Expecting"):
        UserRecord.from_json("{")
    assert json.loads(record.to_json())[2] == 7


def test_a_reload_takes_the_features_and_the_fresher_histories():
    old = UserRecord({"age": 1.0}, {"past": ["a", "b"], "gone": ["x"]}, 100)
    loaded = UserRecord({"age": 2.0}, {"past": ["a"], "new": ["n"]}, 50)
    assert old.reloaded(loaded) == UserRecord({"age": 2.0}, {"past": ["a", "b"], "new": ["n"]}, 100)
    later = UserRecord({"age": 2.0}, {"past": ["a", "b", "c"]}, 100)
    assert old.reloaded(later) == later
    assert UserRecord({"age": 1.0}).reloaded(loaded) == loaded
