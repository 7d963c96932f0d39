"""NDCG within requests and prediction bias within slices against plain loops."""

import itertools
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.metrics import ndcg_by_group, prediction_bias, prediction_bias_by_group

ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 3]), st.sampled_from([-1.0, 0.0, 0.5, 2.0]), st.sampled_from([b"a", b"b", b"c"])
    ),
    min_size=1,
    max_size=11,
)


def plain_ndcg(rows, k):
    """Mean over all orders that the scores allow; None without a gain."""

    def dcg(gains):
        return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains[:k]))

    best = dcg(sorted((y for y, _ in rows), reverse=True))
    if best == 0:
        return None
    orders = [
        [y for y, _ in order]
        for order in itertools.permutations(rows)
        if all(a[1] >= b[1] for a, b in itertools.pairwise(order))
    ]
    return sum(dcg(order) for order in orders) / len(orders) / best


@settings(max_examples=60, deadline=None)
@given(ROWS.filter(lambda rows: max(sum(r[2] == g for r in rows) for g in (b"a", b"b", b"c")) <= 5), st.integers(1, 6))
def test_ndcg_is_the_mean_over_all_orders_of_equal_scores(rows, k):
    labels, scores, groups = (np.array(column) for column in zip(*rows, strict=True))
    found = ndcg_by_group(labels, scores, groups, [1, k])[k]
    for group, value in zip(found.groups, found.values, strict=True):
        expected = plain_ndcg([row[:2] for row in rows if row[2] == group], k)
        assert math.isnan(value) if expected is None else value == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_ndcg_does_not_depend_on_the_order_of_the_rows(rows, random):
    means = []
    for some in (rows, random.sample(rows, len(rows))):
        labels, scores, groups = (np.array(column) for column in zip(*some, strict=True))
        means.append(ndcg_by_group(labels, scores, groups, [3])[3].mean)
    assert means[0] == pytest.approx(means[1], nan_ok=True)


def test_ndcg_is_that_of_scikit_learn_with_its_ties():
    random = np.random.default_rng(1)
    labels, scores = random.integers(0, 4, 60), random.integers(0, 9, 60) / 2
    found = ndcg_by_group(labels, scores, np.repeat([5, 2, 9], 20), [7])[7]
    expected = [
        sklearn.metrics.ndcg_score([labels[r]], [scores[r]], k=7) for r in (slice(20, 40), slice(0, 20), slice(40, 60))
    ]
    assert found.groups.tolist() == [2, 5, 9]
    assert found.values == pytest.approx(expected)


def test_what_has_no_gain_is_left_out_and_what_is_no_gain_is_refused():
    found = ndcg_by_group([0, 0, 1, 0], [1.0, 2.0, 1.0, 2.0], [1, 1, 2, 2], [1, 2])
    assert found[1].mean == 0
    assert found[2].mean == pytest.approx(1 / math.log2(3))
    assert found[2].left_out == 1
    assert math.isnan(ndcg_by_group([], [], [], [5])[5].mean)
    with pytest.raises(ValueError, match=r"a label is -1\.0"):
        ndcg_by_group([-1.0], [1.0], [1], [1])
    with pytest.raises(ValueError, match="k is 0"):
        ndcg_by_group([1.0], [1.0], [1], [0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(0, 3), st.sampled_from("xyz")), min_size=1))
def test_the_bias_of_a_slice_is_the_weighted_mean_of_prediction_minus_label(rows):
    predicted, labels, weights, slices = (np.array(column) for column in zip(*rows, strict=True))
    found = prediction_bias_by_group(labels, predicted, slices, weights)
    for name, value in zip(found.groups, found.values, strict=True):
        mine = [row for row in rows if row[3] == name]
        weight = sum(row[2] for row in mine)
        expected = sum(w * (p - y) for p, y, w, _ in mine) / weight if weight else math.nan
        assert value == pytest.approx(expected, nan_ok=True)
    assert prediction_bias(labels, predicted, weights) == pytest.approx(found.mean, abs=1e-12, nan_ok=True)
