"""How ids find rows of a table, and what the rows start with, against plain Python."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfrec.layers import TableConfig, tables
from tfrec.layers.tables import look_up, main_row, normal_rows, plan_rows

KINDS = ["plain", "hashed", "quotient_remainder"]


def slow_row(number, plan):
    """The row of one id, in Python's unbounded integers."""
    if plan.kind == "plain" or (plan.kind == "hashed" and number < 2):
        return number
    if plan.kind == "quotient_remainder":
        return number % plan.rows
    mixed = (number * 0x9E3779B97F4A7C15) % 2**64 >> 32  # 2⁶⁴ / golden ratio; the upper half
    return 2 + mixed * (plan.rows - 2) // 2**32


@st.composite
def plans_with_ids(draw):
    """(number of ids, plan, some ids), from the two that every feature has up to all that hashing can make."""
    num_ids = draw(st.one_of(st.integers(2, 40), st.integers(2, 2**31)))
    kind = draw(st.sampled_from(KINDS))
    rows = draw(st.integers(8, 2**22) if kind == "hashed" else st.one_of(st.none(), st.integers(8, 2**22)))
    ids = draw(st.lists(st.integers(0, num_ids - 1), min_size=1, max_size=30))
    return num_ids, plan_rows(num_ids, TableConfig(kind=kind, rows=rows)), [0, 1, num_ids - 1, *ids]


@given(plans_with_ids())
def test_every_id_has_the_row_of_the_slow_way_and_it_exists(case):
    num_ids, plan, ids = case
    rows = main_row(tf.constant(ids, tf.int64), plan).numpy()
    assert rows.tolist() == [slow_row(number, plan) for number in ids]
    assert rows.min() >= 0
    assert rows.max() < plan.rows <= num_ids
    if plan.kind != "quotient_remainder":
        assert rows[:2].tolist() == [0, 1]  # padding and unknown keep rows of their own
        assert all(row >= 2 for row, number in zip(rows, ids, strict=True) if number >= 2)
    else:
        assert all(number // plan.rows < plan.quotients for number in ids)


@given(plans_with_ids())
def test_a_quotient_remainder_pair_belongs_to_one_id_and_no_quotient_is_spare(case):
    num_ids, plan, ids = case
    if plan.kind != "quotient_remainder":
        assert plan.quotients == 0
        return
    pairs = {(number % plan.rows, number // plan.rows) for number in ids}
    assert len(pairs) == len(set(ids))
    assert (plan.quotients - 1) * plan.rows < num_ids <= plan.quotients * plan.rows


@pytest.mark.parametrize("num_ids", [2, 5, 8, 100, 1_000_000])
def test_remainders_are_the_root_of_the_ids_unless_they_are_given_and_hashed_rows_are_given(num_ids):
    plan = plan_rows(num_ids, TableConfig(kind="quotient_remainder"))
    assert plan.rows == min(num_ids, max(math.isqrt(num_ids), 8))
    for kind in ("quotient_remainder", "hashed"):
        assert plan_rows(num_ids, TableConfig(kind=kind, rows=64)).rows == min(num_ids, 64)
    with pytest.raises(ValueError, match="a hashed table needs 'rows'"):
        TableConfig(kind="hashed")


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_rows_have_the_shape_and_type_of_the_ids(dtype):
    for kind in KINDS:
        found = main_row(tf.constant([[0, 1, 2], [7, 99, 5]], dtype), plan_rows(100, TableConfig(kind=kind, rows=20)))
        assert (found.shape, found.dtype) == ((2, 3), dtype)


def test_hashing_spreads_ids_evenly_over_all_rows():
    plan = plan_rows(100_000, TableConfig(kind="hashed", rows=1002))
    counts = np.bincount(main_row(tf.range(2, 100_000, dtype=tf.int64), plan), minlength=1002)[2:]
    assert counts.mean() == pytest.approx(100, abs=0.01)  # of a random hash the emptiest has about 70, the fullest 135
    assert counts.min() >= 90
    assert counts.max() <= 110
    close = main_row(tf.range(2, 100, dtype=tf.int64), plan).numpy()
    assert len(set(close)) == 98  # the most frequent ids do not meet


def test_a_row_of_the_batch_is_looked_up_in_any_shape():
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    rows = np.array([[0, 5, 5], [2, 1, 0]])
    assert np.array_equal(look_up(tf.Variable(table), tf.constant(rows)), table[rows])
    assert look_up(tf.Variable(table), tf.zeros([0], tf.int64)).shape == (0, 2)


# --- Initial values ---


@pytest.mark.parametrize("cuts", [[0, 11], [0, 4, 11], [0, 3, 5, 11], [0, 4, 8, 11], [0, 7, 9, 10, 11], range(12)])
def test_shards_put_together_are_the_whole_table(monkeypatch, cuts):
    """As a strategy with a partitioner asks for them; blocks of 4 rows end within and between shards."""
    monkeypatch.setattr(tables, "BLOCK_ROWS", 4)
    initial = normal_rows(11, 3, stddev=0.5, seed=[5, 6])
    whole = initial(shape=[11, 3], dtype=tf.float32).numpy()
    assert whole.shape == (11, 3)
    pieces = [
        initial(
            shape=[11, 3],
            dtype=tf.float32,
            partition_shape=tf.TensorShape([end - begin, 3]),
            partition_offset=(begin, 0),
        )
        for begin, end in zip(list(cuts)[:-1], list(cuts)[1:], strict=True)
    ]
    assert np.array_equal(np.concatenate(pieces), whole)
    assert len(np.unique(whole)) == 33  # no block repeats another


def test_a_shard_draws_no_more_than_its_blocks(monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_ROWS", 4)
    drawn = []
    original = tf.random.stateless_normal

    def counted(shape, seed):
        drawn.append(shape[0])
        return original(shape, seed)

    monkeypatch.setattr(tf.random, "stateless_normal", counted)
    initial = normal_rows(1_000_000, 3, stddev=0.5, seed=[5, 6])
    assert initial(partition_shape=(6, 3), partition_offset=(500_001, 0)).shape == (6, 3)
    assert drawn == [4, 4]


def test_initial_values_have_the_mean_and_spread_asked_for_and_follow_from_the_seed():
    one, again, other = (normal_rows(5000, 4, stddev=0.2, seed=[seed, 1], mean=1.0)() for seed in (1, 1, 2))
    assert np.mean(one) == pytest.approx(1.0, abs=0.01)
    assert np.std(one) == pytest.approx(0.2, rel=0.02)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_variable_takes_its_shape_from_them():
    variable = tf.Variable(normal_rows(7, 2, stddev=1.0, seed=[1, 1]), shape=[7, 2], dtype=tf.float32)
    assert np.array_equal(variable, normal_rows(7, 2, stddev=1.0, seed=[1, 1])())
