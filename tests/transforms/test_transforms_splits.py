"""Order, splits and what they leak, against plain loops on random events."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.shop_log import leave_one_out
from tfrec.config_file import parse_config
from tfrec.schema import (
    EVENT_POSITION,
    EVENT_TIME_MS,
    SESSION_INDEX,
    SESSION_POSITION,
    SPLITS,
    CategoricalFeature,
    Given,
    LeaveOneOut,
    PerUser,
    Random,
    Schema,
    Sessions,
    Split,
    Temporal,
    Timestamp,
    Users,
)
from transforms.read.rejected import FILE_INDEX_SHIFT
from transforms.read.typed import SOURCE
from transforms.steps.order import number_events, order_events
from transforms.steps.split import (
    COARSE_BITS,
    SplitPlan,
    buckets_to_refine,
    refined_cuts,
    temporal_cuts,
)

EVENTS = st.lists(st.tuples(st.sampled_from("abcdé"), st.integers(0, 12)), min_size=1, max_size=40)
FAST = settings(max_examples=150, deadline=None)


def ordered(events: list[tuple[str, int]], arrival: list[int] | None = None, pieces: int = 1) -> pa.Table:
    arrival = arrival or list(range(len(events)))
    table = {
        "user": [events[row][0] for row in arrival],
        EVENT_TIME_MS: [events[row][1] * 1000 for row in arrival],
        SOURCE: pa.array(arrival, pa.int64()),
    }
    size = -(-len(arrival) // pieces)
    tables = [pa.table(table).slice(start, size) for start in range(0, len(arrival), size)]
    return number_events(order_events(tables, "user"), "user")


def assigned(table: pa.Table, split: Split, cuts: tuple[int, int] | None = None, of_file=()) -> list[int]:
    features = {
        "user": CategoricalFeature(role="user", id=True),
        "item": CategoricalFeature(role="item", id=True),
    }
    schema = Schema(name="events", features=features, split=split, timestamp=Timestamp(column="time"))
    return SplitPlan(schema, cuts, of_file).assign(table).tolist()


def by_place(table: pa.Table, split: list[int]) -> dict[int, int]:
    """Place in the log → split."""
    return dict(zip(table.column(SOURCE).to_pylist(), split, strict=True))


@FAST
@given(events=EVENTS, pieces=st.integers(1, 5), data=st.data())
def test_events_are_ordered_by_user_time_and_place_however_they_arrive(events, pieces, data):
    arrival = data.draw(st.permutations(range(len(events))))
    table = ordered(events, arrival, pieces)
    expected = sorted(range(len(events)), key=lambda row: (events[row][0], events[row][1], row))
    assert table.column(SOURCE).to_pylist() == expected
    positions = []
    for at, row in enumerate(expected):
        positions.append(sum(events[other][0] == events[row][0] for other in expected[:at]))
    assert table.column(EVENT_POSITION).to_pylist() == positions


def test_times_too_far_apart_for_one_sort_key_are_ordered_all_the_same():
    times = [2**61, -(2**61), 0, 2**61, 5]
    table = pa.table(
        {
            "user": ["b", "a", "b", "a", "b"],
            EVENT_TIME_MS: times,
            SOURCE: pa.array(range(5), pa.int64()),
        }
    )
    assert order_events([table], "user").column(SOURCE).to_pylist() == [1, 3, 2, 4, 0]


@FAST
@given(events=EVENTS, gap=st.integers(1, 6))
def test_a_pause_longer_than_the_gap_begins_a_session(events, gap):
    table = number_events(ordered(events), "user", Sessions(gap_minutes=gap / 60))
    expected = []
    previous: dict[str, tuple[int, int, int]] = {}
    for user, time in zip(table.column("user").to_pylist(), table.column(EVENT_TIME_MS).to_pylist(), strict=True):
        index, position, last = previous.get(user, (0, -1, time))
        index, position = (index + 1, 0) if time - last > gap * 1000 else (index, position + 1)
        previous[user] = (index, position, time)
        expected.append((index, position))
    found = zip(table.column(SESSION_INDEX).to_pylist(), table.column(SESSION_POSITION).to_pylist(), strict=True)
    assert list(found) == expected


@FAST
@given(events=EVENTS)
def test_leave_one_out_takes_each_user_s_last_two_by_time_then_by_place(events):
    table = ordered(events)
    found = by_place(table, assigned(table, LeaveOneOut()))
    expected = leave_one_out([{"user": user, "when": str(time)} for user, time in events])
    assert [SPLITS[found[row]] for row in range(len(events))] == expected


@pytest.mark.parametrize(("count", "train"), [(1, 1), (2, 2), (3, 1), (4, 2)])
def test_users_with_fewer_than_three_events_only_train(count, train):
    split = assigned(ordered([("a", 5)] * count), LeaveOneOut())
    assert split == [0] * train + ([1, 2] if count >= 3 else [])


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
    split = assigned(table, strategy, cuts)
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


@FAST
@given(times=st.lists(st.integers(0, 6 << COARSE_BITS), min_size=1, max_size=60), shares=SHARES)
def test_cuts_found_in_coarse_counts_first_are_those_of_all_times(times, shares):
    split = Temporal(validation=shares[0], test=shares[1])
    coarse = Counter(time >> COARSE_BITS for time in times)
    wanted = buckets_to_refine(coarse, split)
    fine = Counter(time for time in times if time >> COARSE_BITS in wanted)
    distinct, counts = np.unique(times, return_counts=True)
    assert refined_cuts(coarse, fine, split) == temporal_cuts(distinct, counts, split)


def test_shares_that_floating_point_adds_up_badly_are_met_exactly():
    cuts = temporal_cuts(np.arange(10), np.ones(10, int), Temporal(validation=0.1, test=0.2))
    assert cuts == (7, 8)  # 0.1 + 0.2 > 0.3 in floating point, but three of ten events are wanted


def test_dates_name_the_cuts_of_a_temporal_split():
    text = "{strategy: temporal, validation_from: 2024-01-31, test_from: 2024-02-01T12:00:00+02:00}"
    split = parse_config(text, Temporal)
    assert split.cuts_ms == (1_706_659_200_000, 1_706_781_600_000)
    day = 86_400
    table = ordered([("a", 1_706_659_200 - 1), ("a", 1_706_659_200), ("a", 1_706_781_600), ("a", 1_706_781_600 + day)])
    assert assigned(table, split, split.cuts_ms) == [0, 1, 2, 2]


@FAST
@given(events=EVENTS, shares=SHARES)
def test_per_user_by_time_takes_the_last_events_of_each_user(events, shares):
    validation, test = shares
    table = ordered(events)
    found = by_place(table, assigned(table, PerUser(validation=validation, test=test)))
    for user in {user for user, _ in events}:
        mine = sorted((time, row) for row, (other, time) in enumerate(events) if other == user)
        tests, validations = math.floor(len(mine) * test + 1e-9), math.floor(len(mine) * validation + 1e-9)
        expected = [0] * (len(mine) - tests - validations) + [1] * validations + [2] * tests
        assert [found[row] for _, row in mine] == expected


@FAST
@given(events=EVENTS, shares=SHARES, seed=st.integers(0, 3))
def test_per_user_at_random_takes_the_same_number_of_each_user_s_events(events, shares, seed):
    table = ordered(events)
    random = PerUser(validation=shares[0], test=shares[1], order="random", seed=seed)
    by_time = PerUser(validation=shares[0], test=shares[1])
    users = table.column("user").to_pylist()
    numbers = [Counter(zip(users, assigned(table, split), strict=True)) for split in (random, by_time)]
    assert numbers[0] == numbers[1]


def test_per_user_at_random_takes_early_events_as_often_as_late_ones():
    table = ordered([(f"u{row % 500}", row // 500) for row in range(10_000)])
    split = np.array(assigned(table, PerUser(validation=0.1, test=0.2, order="random")))
    position = table.column(EVENT_POSITION).to_numpy()
    assert position[split == 2].mean() == pytest.approx(position.mean(), abs=0.6)  # 5 standard deviations of a mean
    other = np.array(assigned(table, PerUser(validation=0.1, test=0.2, order="random", seed=2)))
    assert np.mean(split == other) == pytest.approx(0.7**2 + 0.1**2 + 0.2**2, abs=0.03)


def test_whole_users_go_to_a_split_and_about_as_many_as_asked():
    events = [(f"u{row % 5_000}", row % 31) for row in range(20_000)]
    table = ordered(events)
    split = assigned(table, Users(validation=0.1, test=0.3))
    of_user: dict[str, set[int]] = {}
    for user, number in zip(table.column("user").to_pylist(), split, strict=True):
        of_user.setdefault(user, set()).add(number)
    assert all(len(splits) == 1 for splits in of_user.values())
    shares = np.bincount([splits.pop() for splits in of_user.values()], minlength=3) / 5_000
    assert shares == pytest.approx([0.6, 0.1, 0.3], abs=0.035)  # 5 standard deviations
    other = assigned(table, Users(validation=0.1, test=0.3, seed=2))
    assert np.mean(np.array(split) == np.array(other)) < 0.6


def test_the_split_of_a_user_does_not_depend_on_other_users_or_on_the_place_in_the_log():
    alone = assigned(ordered([("marie", 3)]), Users(validation=0.3, test=0.3))
    crowd = ordered([(f"u{row}", row) for row in range(100)] + [("marie", 9), ("marie", 1)])
    at = [row for row, user in enumerate(crowd.column("user").to_pylist()) if user == "marie"]
    split = assigned(crowd, Users(validation=0.3, test=0.3))
    assert {split[row] for row in at} == set(alone)


def test_a_given_split_is_that_of_the_file():
    table = pa.table(
        {
            "user": ["a", "b", "a", "b"],
            EVENT_TIME_MS: pa.array([0, 0, 0, 0], pa.int64()),
            SOURCE: pa.array([1, (1 << FILE_INDEX_SHIFT) + 1, (2 << FILE_INDEX_SHIFT) + 7, 2], pa.int64()),
        }
    )
    table = number_events(order_events([table], "user"), "user")
    found = by_place(table, assigned(table, Given(), of_file=("train", "test", "validation")))
    assert [found[source] for source in (1, 2, (1 << FILE_INDEX_SHIFT) + 1, (2 << FILE_INDEX_SHIFT) + 7)] == [
        0,
        0,
        2,
        1,
    ]


def test_a_random_split_has_about_its_shares_and_depends_on_the_seed_alone():
    table = ordered([(f"u{row % 97}", row % 31) for row in range(20_000)])
    first = np.array(assigned(table, Random(validation=0.1, test=0.3, seed=1)))
    again = np.array(assigned(table.slice(0), Random(validation=0.1, test=0.3, seed=1)))
    other = np.array(assigned(table, Random(validation=0.1, test=0.3, seed=2)))
    assert np.array_equal(first, again)
    for split in (first, other):
        # Five standard deviations of a share of 20 000 independent draws are below 0.02.
        assert np.bincount(split, minlength=3) / 20_000 == pytest.approx([0.6, 0.1, 0.3], abs=0.02)
    assert np.mean(first == other) == pytest.approx(0.6**2 + 0.1**2 + 0.3**2, abs=0.02)


def test_a_random_split_of_an_event_does_not_depend_on_the_events_beside_it():
    events = [(f"u{row % 7}", row % 5) for row in range(200)]
    strategy = Random(validation=0.2, test=0.2)
    whole = ordered(events)
    split = by_place(whole, assigned(whole, strategy))
    part = ordered(events[:50])
    assert assigned(part, strategy) == [split[source] for source in part.column(SOURCE).to_pylist()]
