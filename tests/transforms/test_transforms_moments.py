"""Moments and quantile boundaries from weighted distinct values, against the same values written out one by one."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.schema import NumericFeature
from transforms.steps.analyse import summarise_numeric
from transforms.steps.counts import COUNT, TRAIN_COUNT, VALUE, count_values, weighted_quantiles

VALUES = st.lists(st.tuples(st.sampled_from([-3.0, 0.0, 1.0, 2.5, 7.0, math.nan]), st.booleans()), max_size=30)


def smallest_with_share(values: list[float], numerator: int, denominator: int) -> float:
    """The smallest v of which at least the share of all values is ≤ v."""
    return next(v for v in sorted(values) if denominator * sum(w <= v for w in values) >= numerator * len(values))


@settings(max_examples=200, deadline=None)
@given(rows=VALUES, buckets=st.integers(2, 6))
def test_a_numeric_feature_is_summed_up_over_its_training_rows(rows, buckets):
    values = np.array([value for value, _ in rows], np.float32)
    is_train = np.array([train for _, train in rows], np.int64)
    counts = count_values(pa.chunked_array([pa.array(values)]), is_train, np.ones(len(rows), np.int64))
    feature = NumericFeature(role="context", log=True, buckets=buckets)
    found = summarise_numeric(feature, counts, int(is_train.sum()))
    train = [value for value, train in rows if train]
    present = [value for value in train if not math.isnan(value)]
    assert found.statistics["missing_share"] == (len(train) - len(present)) / max(len(train), 1)
    if not present:
        assert found.analysis.boundaries == ()
        return
    logs = [math.log1p(max(value, 0.0)) for value in present]
    mean = sum(logs) / len(logs)
    deviation = math.sqrt(sum((log - mean) ** 2 for log in logs) / len(logs))
    assert found.analysis.mean == pytest.approx(mean, abs=1e-12)
    if len(set(logs)) == 1:
        assert found.analysis.standard_deviation == pytest.approx(1.0)
    else:
        assert found.analysis.standard_deviation == pytest.approx(deviation)
    edges = {smallest_with_share(present, part, buckets) for part in range(1, buckets)}
    # A boundary at the minimum would leave the first bucket empty.
    assert found.analysis.boundaries == tuple(sorted(edges - {min(present)}))


@pytest.mark.parametrize("value", [0.1, 1.0, 2.5, 1e6])
@pytest.mark.parametrize("is_log", [True, False])
def test_a_constant_is_divided_by_1_however_often_it_occurs(value, is_log):
    feature = NumericFeature(role="context", log=is_log)
    for rows in range(1, 100):  # the mean of 47 times log(2) differs from log(2) in the last bit
        column = pa.chunked_array([pa.array([value] * rows, pa.float32())])
        counts = count_values(column, np.ones(rows, np.int64), np.ones(rows, np.int64))
        assert summarise_numeric(feature, counts, rows).analysis.standard_deviation == 1.0


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.integers(0, 9), min_size=1, max_size=40), share=st.integers(0, 8))
def test_a_quantile_is_the_smallest_value_with_that_share_at_or_below_it(values, share):
    distinct, weights = np.unique(values, return_counts=True)
    [found] = weighted_quantiles(distinct, weights, [share / 8])
    assert found == smallest_with_share(values, share, 8)


def test_values_are_counted_in_training_and_in_all_and_sorted():
    column = pa.chunked_array([["b", "a"], ["b", "", "c"]])
    counts = count_values(column, np.array([1, 0, 1, 1, 0]), np.ones(5, np.int64))
    assert counts.column(VALUE).to_pylist() == ["", "a", "b", "c"]
    assert counts.column(TRAIN_COUNT).to_pylist() == [1, 0, 2, 0]
    assert counts.column(COUNT).to_pylist() == [1, 1, 2, 1]
