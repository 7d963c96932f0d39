"""Splits and the order of events against plain loops, on random events."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.shop_log import leave_one_out
from tfrec.schema import EVENT_POSITION, EVENT_TIME_MS, SPLITS, LeaveOneOut, Random, Temporal
from transforms.read.typed import SOURCE
from transforms.steps.order import order_events
from transforms.steps.split import assign_split, temporal_cuts

EVENTS = st.lists(st.tuples(st.sampled_from("abcdé"), st.integers(0, 12)), min_size=1, max_size=40)
FAST = settings(max_examples=150, deadline=None)


def ordered(events: list[tuple[str, int]], arrival: list[int] | None = None) -> pa.Table:
    arrival = arrival or list(range(len(events)))
    table = {
        "user": [events[row][0] for row in arrival],
        EVENT_TIME_MS: [events[row][1] * 1000 for row in arrival],
        SOURCE: pa.array(arrival, pa.int64()),
    }
    return order_events(pa.table(table), "user")


@FAST
@given(events=EVENTS, data=st.data())
def test_events_are_ordered_by_user_time_and_place_however_they_arrive(events, data):
    arrival = data.draw(st.permutations(range(len(events))))
    table = ordered(events, arrival)
    expected = sorted(range(len(events)), key=lambda row: (events[row][0], events[row][1], row))
    assert table.column(SOURCE).to_pylist() == expected
    positions = []
    for at, row in enumerate(expected):
        positions.append(sum(events[other][0] == events[row][0] for other in expected[:at]))
    assert table.column(EVENT_POSITION).to_pylist() == positions


@FAST
@given(events=EVENTS)
def test_leave_one_out_takes_each_user_s_last_two_by_time_then_by_place(events):
    table = ordered(events)
    found = dict(zip(table.column(SOURCE).to_pylist(), assign_split(table, LeaveOneOut(), None).tolist(), strict=True))
    expected = leave_one_out([{"user": user, "when": str(time)} for user, time in events])
    assert [SPLITS[found[row]] for row in range(len(events))] == expected


@pytest.mark.parametrize(("count", "train"), [(1, 1), (2, 2), (3, 1), (4, 2)])
def test_users_with_fewer_than_three_events_only_train(count, train):
    split = assign_split(ordered([("a", 5)] * count), LeaveOneOut(), None)
    assert split.tolist() == [0] * train + ([1, 2] if count >= 3 else [])


SHARES = st.sampled_from([(0.1, 0.1), (0.1, 0.2), (0.0, 0.3), (0.25, 0.0), (0.0, 0.0), (0.4, 0.5)])


@FAST
@given(events=EVENTS, shares=SHARES)
def test_temporal_cuts_are_the_latest_times_that_leave_the_shares_and_never_part_equal_times(events, shares):
    validation, test = shares
    strategy = Temporal(validation=validation, test=test)
    times = sorted(time * 1000 for _, time in events)
    distinct, counts = np.unique(times, return_counts=True)
    cuts = temporal_cuts(distinct, counts, strategy)
    table = ordered(events)
    split = assign_split(table, strategy, cuts).tolist()
    when = table.column(EVENT_TIME_MS).to_pylist()
    for left, right in ((0, 1), (1, 2), (0, 2)):
        latest = max((t for t, s in zip(when, split, strict=True) if s == left), default=-1)
        earliest = min((t for t, s in zip(when, split, strict=True) if s == right), default=10**9)
        assert latest < earliest
    for share, number in ((test, split.count(2)), (validation + test, split.count(1) + split.count(2))):
        wanted = round(share * len(times), 6)
        if share == 0:
            assert number == 0
            continue
        assert number >= wanted
        # One time later would leave too few: what is there without its earliest time is below the share.
        there = sorted(times)[-number:]
        assert len([t for t in there if t > there[0]]) < wanted


def test_shares_that_floating_point_adds_up_badly_are_met_exactly():
    cuts = temporal_cuts(np.arange(10), np.ones(10, int), Temporal(validation=0.1, test=0.2))
    assert cuts == (7, 8)  # 0.1 + 0.2 > 0.3 in floating point, but three of ten events are wanted


def test_a_random_split_has_about_its_shares_and_depends_on_the_seed_alone():
    table = ordered([(f"u{row % 97}", row % 31) for row in range(20_000)])
    first = assign_split(table, Random(validation=0.1, test=0.3, seed=1), None)
    again = assign_split(table.slice(0), Random(validation=0.1, test=0.3, seed=1), None)
    other = assign_split(table, Random(validation=0.1, test=0.3, seed=2), None)
    assert np.array_equal(first, again)
    for split in (first, other):
        # Five standard deviations of a share of 20 000 independent draws are below 0.02.
        assert np.bincount(split, minlength=3) / 20_000 == pytest.approx([0.6, 0.1, 0.3], abs=0.02)
    assert np.mean(first == other) == pytest.approx(0.6**2 + 0.1**2 + 0.3**2, abs=0.02)


def test_a_random_split_of_an_event_does_not_depend_on_the_events_beside_it():
    events = [(f"u{row % 7}", row % 5) for row in range(200)]
    strategy = Random(validation=0.2, test=0.2)
    whole = ordered(events)
    split = dict(zip(whole.column(SOURCE).to_pylist(), assign_split(whole, strategy, None).tolist(), strict=True))
    part = ordered(events[:50])
    alone = assign_split(part, strategy, None).tolist()
    assert alone == [split[source] for source in part.column(SOURCE).to_pylist()]
