"""Duplicates, bots, k-core and time range: each against a plain loop, and all of them counted in a run."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.config_file import parse_config
from tfrec.dataset.records import read_part
from tfrec.errors import ConfigError, DataError
from tfrec.schema import EVENT_TIME_MS, SPLITS
from transforms.core import in_core
from transforms.filters import DAY_MS, Filters
from transforms.read.typed import SOURCE
from transforms.steps.order import order_events
from transforms.steps.unwanted import duplicates, of_bots

FAST = settings(max_examples=150, deadline=None)
EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 3), st.sampled_from([None, 1.0, 2.0])),
    min_size=1,
    max_size=30,
)

TIMED_YAML = """\
name: timed
events: {files: "events*"}
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true}
  device: {role: context, kind: categorical}
timestamp: {column: time, unit: s}
split: {strategy: leave_one_out}
"""


def ordered(events) -> pa.Table:
    user, item, time, price = (list(column) for column in zip(*events, strict=True))
    table = {
        "user": pa.array(user).dictionary_encode(),
        "item": pa.array(item).dictionary_encode(),
        EVENT_TIME_MS: pa.array(time, pa.int64()),
        "price": pa.array([float("nan") if p is None else p for p in price], pa.float32()),
        "tags": [["t"] * int(p or 0) for p in price],
        "place": pa.array([None if p is None else [p, -0.5] * int(p) for p in price], pa.list_(pa.float32())),
        SOURCE: pa.array(range(len(events)), pa.int64()),
    }
    return order_events([pa.table(table)], "user")


@pytest.mark.parametrize("keep", ["first", "last"])
@pytest.mark.parametrize("by", [["user", "item"], ["user", "item", EVENT_TIME_MS], ["user", "item", "place"], None])
@FAST
@given(events=EVENTS)
def test_of_events_that_agree_one_is_kept(by, keep, events):
    table = ordered(events)
    by = by or ["user", "item", EVENT_TIME_MS, "price", "tags"]
    rows = [tuple(str(c or 0) for c in row) for row in zip(*(table.column(n).to_pylist() for n in by), strict=True)]
    places = range(len(rows)) if keep == "first" else range(len(rows) - 1, -1, -1)
    seen, expected = set(), [False] * len(rows)
    for place in places:
        expected[place] = rows[place] in seen
        seen.add(rows[place])
    assert duplicates(table, "user", by, keep).tolist() == expected


@FAST
@given(
    events=st.lists(st.tuples(st.sampled_from("abc"), st.integers(-2, 40)), min_size=1, max_size=40),
    most=st.one_of(st.none(), st.integers(1, 12)),
    per_day=st.one_of(st.none(), st.integers(1, 6)),
)
def test_users_with_more_events_than_a_person_has_are_bots(events, most, per_day):
    times = [hour * DAY_MS // 8 for _, hour in events]
    table = pa.table({"user": [user for user, _ in events], EVENT_TIME_MS: pa.array(times, pa.int64())})
    total = Counter(user for user, _ in events)
    days = Counter((user, time // DAY_MS) for (user, _), time in zip(events, times, strict=True))
    bots = {user for user, count in total.items() if most is not None and count > most}
    bots |= {user for (user, _), count in days.items() if per_day is not None and count > per_day}
    assert of_bots(table, "user", most, per_day).tolist() == [user in bots for user, _ in events]


def core_by_loops(pairs, min_user: int, min_item: int) -> list[tuple[str, str]]:
    while True:
        users, items = Counter(user for user, _ in pairs), Counter(item for _, item in pairs)
        left = [(user, item) for user, item in pairs if users[user] >= min_user and items[item] >= min_item]
        if len(left) == len(pairs):
            return left
        pairs = left


PAIRS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz")), min_size=1, max_size=60)


@FAST
@given(pairs=PAIRS, dropped=st.sets(st.sampled_from("uvwxyz")), least=st.integers(1, 4))
def test_who_is_out_follows_from_the_items_that_are(pairs, dropped, least):
    users, items = (pa.chunked_array([pa.array(column)]) for column in zip(*pairs, strict=True))
    enough = Counter(user for user, item in pairs if item not in dropped)
    expected = [item not in dropped and enough[user] >= least for user, item in pairs]
    assert in_core(users, items, pa.array(sorted(dropped), pa.string()), least).tolist() == expected


def events_csv(rows) -> str:
    return "user_id,item_id,device,time\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def written_pairs(dataset) -> Counter:
    users = [user.decode() for user in read_part(dataset, "users")["raw/user_id"]]
    items = [item.decode() for item in read_part(dataset, "items")["raw/item_id"]]
    found: Counter = Counter()
    for split in SPLITS:
        part = read_part(dataset, split)
        found.update(
            (users[u], items[i], int(t) // 1000)
            for u, i, t in zip(part["user_index"], part["item_index"], part["event_time_ms"], strict=True)
        )
    return found


@pytest.mark.parametrize("partition_bytes", [64 << 20, 300])
def test_a_k_core_of_a_log_is_the_one_that_loops_find(workshop, partition_bytes):
    generator = np.random.default_rng(5)
    rows = [
        (f"u{int(40 * generator.random() ** 2)}", f"i{int(30 * generator.random() ** 2)}", "tv", 1_600_000_000 + n)
        for n in range(300)
    ]
    filters = ["filters={min_user_events: 6, min_item_events: 7}", f"partition_bytes={partition_bytes}"]
    manifest = workshop.log(events=events_csv(rows)).run(TIMED_YAML, filters)
    left = core_by_loops([(user, item) for user, item, _, _ in rows], 6, 7)
    once = [pair for pair in left if Counter(u for u, _ in rows_of(rows))[pair[0]] >= 6]
    assert 0 < len(left) < len(rows)
    assert Counter({(u, i): n for (u, i), n in Counter(left).items()}) == pairs_of(written_pairs(workshop.dataset))
    assert once == left  # what is left by both rules is left by the first alone
    counts = manifest["rows"]["events"]
    assert counts["accepted"] == len(left)
    assert counts["rejected"] == counts["reasons"]["not in the k-core"] == len(rows) - len(left)
    assert counts["unusable"] == 0


def rows_of(rows):
    return [(user, item) for user, item, _, _ in rows]


def pairs_of(found: Counter) -> Counter:
    pairs: Counter = Counter()
    for (user, item, _), count in found.items():
        pairs[user, item] += count
    return pairs


def test_a_core_that_leaves_nothing_is_an_error(workshop):
    rows = [("u", "i", "tv", 1_600_000_000 + n) for n in range(5)]
    with pytest.raises(DataError, match="none of 5 rows is usable; not in the k-core; check the format and the filt"):
        workshop.log(events=events_csv(rows)).run(TIMED_YAML, ["filters={min_user_events: 9}"])
    assert workshop.names() == set()


def test_an_event_delivered_twice_is_one_event_and_the_second_is_listed(workshop):
    rows = [("u", "i", "tv", 1_600_000_000), ("u", "j", "tv", 1_600_000_000), ("u", "i", "tv", 1_600_000_000)]
    rows += [("u", "i", "pc", 1_600_000_000)]
    manifest = workshop.log(events=events_csv(rows)).run(TIMED_YAML)
    assert manifest["rows"]["events"]["reasons"] == {"duplicate event": 1}
    assert manifest["rows"]["events"]["unusable"] == 0
    assert sum(written_pairs(workshop.dataset).values()) == 3
    [listed] = [json.loads(line) for line in (workshop.output / "rejected" / "events.jsonl").open()]
    assert (listed["line"], listed["reason"], listed["text"]) == (4, "duplicate event", "u | i")


@pytest.mark.parametrize(
    ("filters", "left"),
    [("duplicates: keep", 4), ("duplicates: user_item_time", 2), ("duplicates: user_item", 2)],
)
def test_what_counts_as_one_event_is_the_config_s_to_say(workshop, filters, left):
    rows = [("u", "i", "tv", 1_600_000_000), ("u", "j", "tv", 1_600_000_000), ("u", "i", "tv", 1_600_000_000)]
    rows += [("u", "i", "pc", 1_600_000_000 + 5 * (filters == "duplicates: user_item"))]
    workshop.log(events=events_csv(rows)).run(TIMED_YAML, [f"filters={{{filters}}}"])
    assert sum(written_pairs(workshop.dataset).values()) == left


def test_events_outside_the_time_range_are_left_out_and_those_of_the_future_rejected(workshop):
    day = 86_400
    times = [1_600_000_000 + n * day for n in range(200)] + [99_999_999_9] + [4_000_000_000]
    rows = [(f"u{n % 4}", f"i{n % 5}", "tv", time) for n, time in enumerate(times)]
    manifest = workshop.log(events=events_csv(rows)).run(
        TIMED_YAML, ["filters={time_from: 2020-09-20, time_until: 2020-10-20T00:00:00+02:00}"]
    )
    first, until = 1_600_560_000, 1_603_144_800  # the two dates in Unix time
    assert {t for _, _, t in written_pairs(workshop.dataset)} == {t for t in times if first <= t < until}
    reasons = manifest["rows"]["events"]["reasons"]
    assert reasons == {
        "before filters.time_from": sum(t < first for t in times),
        "not before filters.time_until": sum(until <= t < 4_000_000_000 for t in times),
        "time lies in the future": 1,
    }
    assert manifest["rows"]["events"]["unusable"] == 1
    kept = workshop.run(TIMED_YAML, ["filters.future=keep"])
    assert kept["rows"]["events"]["rejected"] == 0


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["u1", "u2", "u3", ""]),
            st.sampled_from(["i1", "i2", "i3"]),
            st.sampled_from(["tv", "pc"]),
            st.sampled_from([1_600_000_000, 1_600_000_001, 1_600_090_000, 4_000_000_000, "soon"]),
        ),
        min_size=30,
        max_size=60,
    ),
    filters=st.sampled_from(["min_item_events: 3", "max_user_events: 20", "duplicates: user_item_time"]),
)
def test_rows_in_are_rows_out_and_rejected_whatever_the_filters(tmp_path_factory, rows, filters):
    from tests.transforms.conftest import Workshop

    workshop = Workshop(tmp_path_factory.mktemp("filters") / "w").log(events=events_csv(rows))
    try:
        manifest = workshop.run(TIMED_YAML, [f"filters={{{filters}}}", "max_rejected_share=1"])
    except DataError as error:
        if "none of" not in str(error) and "no training events" not in str(error):
            raise
        return
    counts = manifest["rows"]["events"]
    assert counts["rows"] == len(rows)
    assert counts["rows"] == counts["accepted"] + counts["rejected"]
    assert counts["rejected"] == sum(counts["reasons"].values())
    assert counts["accepted"] == sum(written_pairs(workshop.dataset).values())
    unusable = sum(user == "" or time in ("soon", 4_000_000_000) for user, _, _, time in rows)
    assert counts["unusable"] == unusable


def test_a_time_range_that_is_empty_is_a_mistake():
    with pytest.raises(ConfigError, match="is not before time_until"):
        parse_config("{time_from: 2024-02-01, time_until: 2024-01-01}", Filters)


def test_the_rows_of_a_given_split_are_used_as_they_are(workshop):
    row = "u,i,tv,1600000000\n"
    workshop.log(train="user_id,item_id,device,time\n" + row, test="user_id,item_id,device,time\n" + row)
    parts = "events=[{files: train.csv, split: train}, {files: test.csv, split: test}]"
    manifest = workshop.run(TIMED_YAML, [parts, "split={strategy: given}"])
    assert manifest["rejected"] == 0
    assert [workshop.dataset.rows(split) for split in SPLITS] == [1, 0, 1]
