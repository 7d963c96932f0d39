"""Batches of whole groups: nothing torn, nothing lost, the same after a resume."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.dataset.group_batches import GROUP, GroupBatches


def batches_of(source, number, skip=0):
    return list(source.epoch(number, skip=skip).as_numpy_iterator())


@settings(max_examples=15, deadline=None)
@given(
    groups=st.lists(st.sampled_from([b"a", b"bb", b"c", b"d", b"e", b"ff", b"g"]), min_size=2, max_size=40),
    size=st.integers(1, 12),
    workers=st.integers(1, 2),
)
def test_an_epoch_has_every_row_once_and_every_group_in_one_batch(groups, size, workers):
    groups = np.array(groups, object)
    number = np.unique(groups.astype(str), return_inverse=True)[1]
    columns = {"row": np.arange(len(groups)), "two": np.stack([number, -number], axis=1).astype(np.float32)}
    mean = len(groups) / len(set(groups))
    if round(size / mean) < workers:
        size = round(workers * mean) + len(groups)
    if len(set(groups)) < workers:
        workers = 1
    shares = [GroupBatches(columns, groups, size, 3, shard=(worker, workers)) for worker in range(workers)]
    whole = GroupBatches(columns, groups, size, 3)
    assert whole.rows == len(groups)
    found = batches_of(whole, 1)
    assert len(found) == whole.steps_per_epoch
    rows = np.concatenate([batch["row"] for batch in found])
    assert sorted(rows) == list(range(len(groups)))
    for batch in found:
        np.testing.assert_array_equal(number[batch["row"]], batch["two"][:, 0])
        for group in set(batch[GROUP]):
            mine = batch["row"][batch[GROUP] == group]
            assert len(set(groups[mine])) == 1
            assert mine.tolist() == np.flatnonzero(groups == groups[mine[0]]).tolist()
    for batch, *parts in zip(found, *(batches_of(share, 1) for share in shares), strict=True):
        assert np.concatenate([part["row"] for part in parts]).tolist() == batch["row"].tolist()
    step = len(found) // 2
    assert [b["row"].tolist() for b in batches_of(whole, 1, skip=step)] == [b["row"].tolist() for b in found[step:]]


def test_a_batch_has_as_many_rows_as_asked_for_on_average_and_epochs_differ_by_seed_and_number():
    random = np.random.default_rng(1)
    groups = random.integers(0, 400, 4000)
    source = GroupBatches({"row": np.arange(4000)}, groups, 200, 1)
    found = [len(batch["row"]) for batch in batches_of(source, 0)]
    assert 180 < np.mean(found) < 220
    assert source.batch_size == 200
    orders = [
        np.concatenate([b["row"] for b in batches_of(GroupBatches({"row": np.arange(4000)}, groups, 200, seed), epoch)])
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    ]
    assert orders[0].tolist() == orders[1].tolist()
    assert all(orders[0].tolist() != other.tolist() for other in orders[2:])


def test_batches_without_end_go_on_where_a_step_of_a_later_epoch_begins():
    groups = np.repeat(np.arange(10), 3)
    source = GroupBatches({"row": np.arange(30)}, groups, 9, 5)
    assert source.steps_per_epoch == 4
    expected = [*batches_of(source, 1)[2:], *batches_of(source, 2)]
    found = list(source.forever(from_step=6).take(len(expected)).as_numpy_iterator())
    assert [b["row"].tolist() for b in found] == [b["row"].tolist() for b in expected]
