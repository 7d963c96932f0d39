"""Histories against plain loops: nothing at or after an event, nothing that a split hides, in every form."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.config_file import parse_config
from tfrec.dataset.records import read_part
from tfrec.schema import EVENT_TIME_MS, LABEL, SPLITS, Schema
from transforms.read.signals import LABEL_VALUE
from transforms.read.typed import SOURCE
from transforms.steps.history import histories_of, sequence_content
from transforms.steps.order import number_events, order_events
from transforms.steps.split import SplitPlan

LENGTH = 3
SCHEMA = """\
name: past
features:
  user: {{role: user, kind: categorical, id: true}}
  item: {{role: item, kind: categorical, id: true}}
  kind: {{role: context, kind: categorical}}
  past: {{role: user, kind: sequence, length: {length}, {options}}}
label: {{column: stars, threshold: 4}}
timestamp: {{column: time}}
sessions: {{gap_minutes: 1}}
split: {split}
"""
EVENTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 4), st.integers(0, 6), st.integers(1, 5)), max_size=25, min_size=1
)
FAST = settings(max_examples=150, deadline=None)


def schema(options: str = "", split: str = "{strategy: leave_one_out}", length: int = LENGTH) -> Schema:
    return parse_config(SCHEMA.format(options=options, split=split, length=length), Schema)


def prepared(events, chosen: Schema) -> tuple[pa.Table, pa.Table]:
    """Ordered and numbered events of (user, item, minute, stars), and their encoded items and kinds."""
    users, items, minutes, stars = (list(column) for column in zip(*events, strict=True))
    table = pa.table(
        {
            "user": users,
            "item": pa.array(items, pa.int32()),
            "kind": pa.array([item % 3 for item in items], pa.int32()),
            EVENT_TIME_MS: [minute * 60_000 for minute in minutes],
            LABEL: pa.array([float(star >= 4) for star in stars], pa.float32()),
            LABEL_VALUE: pa.array(stars, pa.float32()),
            SOURCE: pa.array(range(len(events)), pa.int64()),
        }
    )
    table = number_events(order_events([table], "user"), "user", chosen.sessions)
    return table, table.select(["item", "kind"])


def plain_past(rows: list[dict], at: int, wanted) -> list[dict]:
    return [row for row in rows[:at] if row["user"] == rows[at]["user"] and wanted(row)]


def check(events, chosen: Schema, shown, wanted=lambda row, me: True) -> None:
    """Compare every history with a loop; `shown` of a row, `wanted` of a row as seen from another."""
    table, encoded = prepared(events, chosen)
    split = SplitPlan(chosen).assign(table)
    content = sequence_content(chosen.sequence_source("past"), table, encoded)
    histories = histories_of("past", table, content, chosen, split)
    rows = [row | {"split": int(s), "row": n} for n, (row, s) in enumerate(zip(table.to_pylist(), split, strict=True))]
    places = np.arange(len(rows))
    expected = [
        [shown(row, rows) for row in plain_past(rows, at, lambda row, me=rows[at]: wanted(row, me))][-LENGTH:]
        for at in range(len(rows))
    ]
    assert histories.before(places).to_pylist() == expected


@FAST
@given(events=EVENTS)
def test_a_history_is_the_last_items_of_the_user_before_the_event(events):
    check(events, schema(), lambda row, rows: row["item"])


@FAST
@given(events=EVENTS)
def test_a_sequence_of_kinds_ratings_times_or_gaps_stands_beside_the_items(events):
    check(events, schema("of: kind"), lambda row, rows: row["kind"])
    check(events, schema("of: label"), lambda row, rows: row[LABEL_VALUE])
    check(events, schema("of: event_time_ms"), lambda row, rows: row[EVENT_TIME_MS])

    def gap(row, rows):
        before = plain_past(rows, row["row"], lambda other: True)
        return (row[EVENT_TIME_MS] - before[-1][EVENT_TIME_MS]) / 1000 if before else 0.0

    check(events, schema("of: gap_seconds"), gap)


@FAST
@given(events=EVENTS)
def test_positive_histories_hold_events_with_a_label_above_0(events):
    check(events, schema("labels: positive"), lambda row, rows: row["item"], lambda row, me: row[LABEL] > 0)


@FAST
@given(events=EVENTS)
def test_a_history_within_the_session_begins_with_it(events):
    same = lambda row, me: row["session_index"] == me["session_index"]  # noqa: E731
    check(events, schema("within: session"), lambda row, rows: row["item"], same)
    both = lambda row, me: same(row, me) and row[LABEL] > 0  # noqa: E731
    check(events, schema("within: session, labels: positive"), lambda row, rows: row["item"], both)


SHUFFLED = ("{strategy: random, validation: 0.2, test: 0.3}", "{strategy: per_user, test: 0.4, order: random}")


@pytest.mark.parametrize("split", SHUFFLED)
@FAST
@given(events=EVENTS)
def test_where_held_out_events_lie_before_training_ones_no_history_shows_them(split, events):
    check(events, schema(split=split), lambda row, rows: row["item"], lambda row, me: row["split"] == 0)


@FAST
@given(events=EVENTS)
def test_the_latest_history_ends_with_the_user_s_last_event(events):
    table, encoded = prepared(events, schema())
    content = sequence_content("item", table, encoded)
    histories = histories_of("past", table, content, schema(), None)
    users = table.column("user").to_pylist()
    last = [max(n for n, user in enumerate(users) if user == one) for one in sorted(set(users))]
    expected = [[table["item"][n].as_py() for n, u in enumerate(users) if u == users[at]][-LENGTH:] for at in last]
    assert histories.up_to(np.array(last)).to_pylist() == expected


@FAST
@given(events=EVENTS, first=st.integers(0, 25))
def test_a_past_from_a_base_dataset_goes_on_as_if_it_had_been_in_the_log(events, first):
    events = sorted(events, key=lambda event: event[2])  # the base holds what came first
    base, new = events[:first], events[first:]
    if not base or not new:
        return
    one = schema()
    old, old_encoded = prepared(base, one)
    whole, whole_encoded = prepared(events, one)
    table, encoded = prepared(new, one)
    latest = histories_of("past", old, sequence_content("item", old, old_encoded), one, None)
    old_users = old.column("user").to_pylist()
    pasts = {
        user: latest.up_to(np.array([max(n for n, u in enumerate(old_users) if u == user)])).to_pylist()[0]
        for user in set(old_users)
    }
    users = sorted(set(table.column("user").to_pylist()))
    past = pa.array([pasts.get(user) for user in users], pa.list_(pa.int32()))
    found = histories_of("past", table, sequence_content("item", table, encoded), one, None, past)
    expected = histories_of("past", whole, sequence_content("item", whole, whole_encoded), one, None)
    places = [n for n, source in enumerate(whole.column(SOURCE).to_pylist()) if source >= first]
    assert found.before(np.arange(len(new))).to_pylist() == expected.before(np.array(places)).to_pylist()
    ends = np.flatnonzero(np.append(np.diff([ord(u) for u in table.column("user").to_pylist()]) != 0, True))
    whole_users = whole.column("user").to_pylist()
    whole_ends = [max(n for n, u in enumerate(whole_users) if u == user) for user in users]
    assert found.up_to(ends).to_pylist() == expected.up_to(np.array(whole_ends)).to_pylist()


def test_the_gap_to_a_base_dataset_s_last_event_is_a_gap():
    one = schema("of: gap_seconds")
    table, encoded = prepared([("a", 0, 3, 5), ("a", 1, 5, 5), ("b", 0, 4, 5)], one)
    last = pa.array([60_000, None], pa.int64())  # user a's last event was in minute 1; b is new
    content = sequence_content("gap_seconds", table, encoded, last)
    assert content.tolist() == [120.0, 120.0, 0.0]


def test_a_sequence_shows_what_the_table_of_items_says_of_past_events(workshop):
    kinds = {"i1": "red", "i2": "blue", "i3": ""}  # i4 stands in the log alone
    taken = {"a": ["i1", "i2", "i3", "i1", "i4"], "b": ["i4", "i2", "i1"]}
    rows = [f"{user},{item},{time}" for user, items in taken.items() for time, item in enumerate(items, 1_600_000_000)]
    workshop.log(
        events="\n".join(["user,item,time", *rows]),
        items="\n".join(["item,kind", *(f"{item},{kind}" for item, kind in kinds.items())]),
    )
    yaml = SCHEMA.format(options="of: kind", split="{strategy: leave_one_out}", length=4).replace("context", "item")
    yaml = yaml.replace("features:", "events: {files: events.csv}\nitems: {files: items.csv}\nfeatures:", 1)
    workshop.run(yaml.replace("label: {column: stars, threshold: 4}\n", ""))
    tokens = (workshop.output / "vocabulary" / "kind.txt").read_text().split()
    id_of = {"": 0, **{token: place + 2 for place, token in enumerate(tokens)}}
    assert sorted(tokens) == ["blue", "red"]
    users = [name.decode() for name in read_part(workshop.dataset, "users")["raw/user"]]
    for part in SPLITS:
        records = read_part(workshop.dataset, part)
        for user, position, past in zip(
            records["user_index"], records["event_position"], records["past"].tolist(), strict=True
        ):
            shown = [id_of[kinds.get(item, "")] for item in taken[users[user]][:position]][-4:]
            assert past == [*shown, *[0] * (4 - len(shown))]
