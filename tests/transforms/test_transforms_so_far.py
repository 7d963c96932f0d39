"""Counts as of each event: an item's and a user's events before it, none of the same instant or later."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.dataset.records import read_part
from tfrec.schema import SPLITS
from transforms.so_far import earlier_events

COUNTS_YAML = """\
name: counts
events: {files: "events*"}
features:
  user_id: {role: user, kind: categorical, id: true}
  activity: {role: user, kind: numeric, so_far: user_events, standardize: false}
  item_id: {role: item, kind: categorical, id: true}
  popularity: {role: item, kind: numeric, so_far: item_events, standardize: false}
  fame: {role: item, kind: numeric, so_far: item_events, log: true, buckets: 3}
timestamp: {column: time, unit: s}
split: {strategy: temporal, validation: 0.1, test: 0.2}
"""


@settings(max_examples=200, deadline=None)
@given(events=st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 5)), max_size=40))
def test_an_item_s_count_is_of_events_with_an_earlier_time(events):
    items, times = (np.array([event[n] for event in events], np.int64) for n in (0, 1))
    expected = [sum(i == item and t < time for i, t in events) for item, time in events]
    assert earlier_events(items, times).tolist() == expected


@pytest.fixture
def log(workshop):
    generator = np.random.default_rng(3)
    rows = [
        (f"u{int(12 * generator.random())}", f"i{int(9 * generator.random() ** 2)}", 1_600_000_000 + n // 3)
        for n in range(150)
    ]
    text = "user_id,item_id,time\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows)
    return workshop.log(events=text)


def read_events(workshop):
    with (workshop.input / "events.csv").open() as file:
        return [(row["user_id"], row["item_id"], int(row["time"])) for row in csv.DictReader(file)]


@pytest.mark.parametrize("partition_bytes", [64 << 20, 400])
def test_every_record_has_the_counts_of_its_moment(log, partition_bytes):
    log.run(COUNTS_YAML, [f"partition_bytes={partition_bytes}", "filters.duplicates=keep"])
    events = read_events(log)
    users = [user.decode() for user in read_part(log.dataset, "users")["raw/user_id"]]
    items = [item.decode() for item in read_part(log.dataset, "items")["raw/item_id"]]
    found = []
    for split in SPLITS:
        part = read_part(log.dataset, split)
        names = ("user_index", "item_index", "event_time_ms", "event_position", "activity", "popularity")
        for user, item, time, position, activity, popularity in zip(*(part[n] for n in names), strict=True):
            assert activity == position
            found.append((users[user], items[item], int(time) // 1000, int(position), int(popularity)))
    expected = []
    for row, (user, item, time) in enumerate(events):
        before = sum(u == user and (t, n) < (time, row) for n, (u, _, t) in enumerate(events))
        expected.append((user, item, time, before, sum(i == item and t < time for _, i, t in events)))
    assert sorted(found) == sorted(expected)


def test_serving_looks_up_all_events_of_a_user_and_the_training_events_of_an_item(log):
    log.run(COUNTS_YAML, ["filters.duplicates=keep"])
    events = read_events(log)
    users = read_part(log.dataset, "users")
    for user, activity in zip(users["raw/user_id"], users["activity"], strict=True):
        assert activity == sum(u == user.decode() for u, _, _ in events)
    train = read_part(log.dataset, "train")
    items = read_part(log.dataset, "items")
    counts = np.bincount(train["item_index"], minlength=len(items["popularity"]))
    assert items["popularity"].tolist() == counts.tolist()
    assert counts.sum() < len(events)  # what is tested on is not counted
