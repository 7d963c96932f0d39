"""Packed windows: every event once, no gaps, nobody's events in another's segment, the same after a resume."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.dataset.window_batches import NEXT, SEGMENT, STEP, WindowBatches, Windows


def log_of(lengths, seed=0):
    """Events in any order: user, position, a number of its own, and a pair of numbers."""
    users = np.repeat(np.arange(len(lengths)) * 3, lengths)
    positions = np.concatenate([np.arange(n) * 2 for n in lengths])
    order = np.random.default_rng(seed).permutation(len(users))
    events = np.arange(len(users))
    columns = {"event": events[order], "two": np.stack([events, -events], axis=1)[order].astype(np.float32)}
    return columns, users[order], positions[order]


def batches_of(source, number, skip=0):
    return list(source.epoch(number, skip=skip).as_numpy_iterator())


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=7).filter(lambda n: max(n) > 1),
    length=st.integers(1, 6),
    size=st.integers(1, 20),
    has_next=st.booleans(),
)
def test_an_epoch_has_every_step_once_with_its_place_and_what_came_next(lengths, length, size, has_next):
    source = WindowBatches(*log_of(lengths), Windows(length, has_next), size, 3)
    steps = [(u, i) for u, n in enumerate(lengths) for i in range(n - has_next)]
    first = np.cumsum([0, *lengths])
    assert source.rows == len(steps)
    found, seen = batches_of(source, 2), []
    assert len(found) == source.steps_per_epoch
    rows = np.concatenate([batch[SEGMENT] for batch in found])
    assert len(rows) == -(-len(steps) // length)  # no row more than the steps need
    assert (rows[:-1] > 0).all()
    for batch in found:
        assert batch["two"].shape == (*batch["event"].shape, 2)
        for row, segments in enumerate(batch[SEGMENT]):
            assert (np.diff(segments[segments > 0]) >= 0).all()
            for segment in sorted(set(segments) - {0}):
                places = np.flatnonzero(segments == segment)
                events = batch["event"][row, places]
                user = np.searchsorted(first, events[0], side="right") - 1
                assert events.tolist() == list(range(events[0], events[0] + len(events)))
                assert first[user] <= events[0]
                assert events[-1] < first[user + 1] - has_next
                assert batch[STEP][row, places].tolist() == list(range(len(events)))
                np.testing.assert_array_equal(batch["two"][row, places, 1], -events)
                if has_next:
                    assert (batch[NEXT + "event"][row, places] == events + 1).all()
                seen += [(user, event - first[user]) for event in events]
            assert not batch["event"][row, segments == 0].any()
    assert sorted(seen) == steps


def test_segments_that_touch_are_told_apart_whatever_their_events():
    source = WindowBatches(*log_of([2, 2, 2, 2, 2]), Windows(10, has_next=False), 10, 1)
    (batch,) = batches_of(source, 0)
    events, segments = batch["event"][0], batch[SEGMENT][0]
    for left, right in zip(range(9), range(1, 10), strict=True):
        is_same_user = events[left] // 2 == events[right] // 2 and events[right] == events[left] + 1
        assert (segments[left] == segments[right]) == is_same_user


def test_workers_share_the_rows_of_each_batch_and_a_resume_goes_on_where_it_stopped():
    log, windows = log_of(np.random.default_rng(4).integers(1, 12, 30)), Windows(5, has_next=True)
    whole = WindowBatches(*log, windows, 20, 7)
    shares = [WindowBatches(*log, windows, 20, 7, shard=(worker, 2)) for worker in range(2)]
    for number in (0, 1):
        for batch, *parts in zip(batches_of(whole, number), *(batches_of(s, number) for s in shares), strict=True):
            for name, values in batch.items():
                np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values)
    steps = whole.steps_per_epoch
    later = [b["event"].tolist() for b in whole.forever(steps + 2).take(4).as_numpy_iterator()]
    expected = [b["event"].tolist() for number in (1, 2) for b in batches_of(whole, number)][2:6]
    assert later == expected
    assert [b["event"].tolist() for b in batches_of(whole, 1, skip=2)] == [
        b["event"].tolist() for b in batches_of(whole, 1)[2:]
    ]


def test_borders_of_windows_differ_between_epochs_and_seeds():
    log, windows = log_of([40]), Windows(10, has_next=False)
    starts = {
        (seed, number): tuple(b["event"][0, 0] for b in batches_of(WindowBatches(*log, windows, 10, seed), number))
        for seed in (1, 2)
        for number in range(4)
    }
    assert len(set(starts.values())) >= 6


def test_users_of_one_event_have_no_next_one_and_are_left_out():
    source = WindowBatches(*log_of([1, 3, 1]), Windows(4, has_next=True), 4, 1)
    (batch,) = batches_of(source, 0)
    assert sorted(batch["event"][batch[SEGMENT] > 0]) == [1, 2]
