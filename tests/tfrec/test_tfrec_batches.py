"""Batches from memory: what is served is what was given, and workers share each batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.dataset.batches import Batches
from tfrec.dataset.memory_rows import MemoryRows
from tfrec.errors import ConfigError

LARGE = 2**40


def columns_of(rows):
    """Columns of all the types and ranges that records have."""
    rng = np.random.default_rng(rows)
    return {
        "time": rng.integers(-LARGE, LARGE, rows),
        "id": rng.integers(0, 2**31, rows),
        "edge": np.resize(np.array([-(2**31), 2**31 - 1], np.int64), rows),
        "over": np.full(rows, 2**31),
        "label": rng.random(rows).astype(np.float32),
        "odd": np.resize(np.array([np.inf, -0.0, 1e-45, np.nan], np.float32), rows),
        "past": rng.integers(0, 9, (rows, 3)),
        "times": rng.integers(0, LARGE, (rows, 2)),
        "ratings": rng.random((rows, 2)).astype(np.float32),
        "small": rng.integers(0, 9, rows).astype(np.int32),
        "exact": rng.random(rows),
        "request": np.array([b"r%d" % row for row in range(rows)], object),
    }


@pytest.mark.parametrize("rows", [1, 7])
def test_rows_come_back_as_they_were_given(rows):
    columns = columns_of(rows)
    order = np.random.default_rng(0).integers(0, rows, 9)
    found = MemoryRows(columns).take(order)
    assert list(found) == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(found[name].numpy(), values[order], strict=True)


def test_no_rows_have_no_batches():
    batches = Batches({name: values[:0] for name, values in columns_of(2).items()}, 4, 1)
    assert (batches.rows, batches.steps_per_epoch) == (0, 0)
    assert list(batches.epoch(0)) == list(batches.in_order()) == []


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 40),
    size=st.integers(1, 50),
    workers=st.integers(1, 4),
    epoch=st.integers(0, 3),
    skip=st.integers(0, 5),
)
def test_the_shares_of_all_workers_together_are_the_batch(rows, size, workers, epoch, skip):
    def rows_of(**options):
        batches = Batches({"row": np.arange(rows)}, size, 3, **options)
        return [batch["row"].tolist() for batch in batches.epoch(epoch, skip=skip).as_numpy_iterator()]

    if min(rows, size) < workers:
        with pytest.raises(ConfigError, match=rf"batch of {min(rows, size)} rows .* {workers} workers"):
            rows_of(shard=(0, workers))
        return
    shares = [rows_of(shard=(worker, workers)) for worker in range(workers)]
    assert [[row for part in parts for row in part] for parts in zip(*shares, strict=True)] == rows_of()
    for parts in zip(*shares, strict=True):
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_worker_that_is_not_there_is_the_callers_error():
    with pytest.raises(ValueError, match="no shard 2 of 2"):
        Batches({"row": np.arange(9)}, 3, 1, shard=(2, 2))


def test_the_order_of_an_epoch_is_the_permutation_of_seed_and_epoch():
    """The order is a promise to jobs that resume: another one would give them rows twice."""
    found = [batch["row"].tolist() for batch in Batches({"row": np.arange(9)}, 4, 3).epoch(2).as_numpy_iterator()]
    order = np.random.default_rng([3, 2]).permutation(9).tolist()
    assert found == [order[:4], order[4:8], order[8:]]
