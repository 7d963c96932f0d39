"""Metrics of scores and logits against scikit-learn and plain loops."""

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.errors import DataError
from tfrec.metrics import auc, gauc, log_loss, normalised_entropy, pr_auc

SCORED = st.lists(st.tuples(st.integers(0, 1), st.integers(-5, 5)), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(SCORED)
def test_auc_is_that_of_scikit_learn_with_ties_and_nan_without_two_classes(rows):
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    found = auc(labels, scores)
    if len(set(labels)) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores), abs=1e-12)


def test_auc_of_equal_scores_is_one_half_and_of_no_rows_is_nan():
    assert auc([0, 1, 1], [3.0, 3.0, 3.0]) == 0.5
    assert math.isnan(auc([], []))


def test_auc_takes_infinite_scores():
    assert auc([0, 1], [-math.inf, math.inf]) == 1.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(-15, 15)), min_size=1, max_size=40))
def test_log_loss_is_that_of_scikit_learn(rows):
    labels, logits = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    expected = sklearn.metrics.log_loss(labels, 1 / (1 + np.exp(-logits)), labels=[0, 1])
    assert log_loss(labels, logits) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("label", "logit", "expected"),
    [
        *((1, 1000, 0), (0, -1000, 0), (0, 1000, 1000), (1, -1000, 1000), (1, 0, math.log(2))),
        *((1, math.inf, 0), (0, -math.inf, 0), (0, math.inf, math.inf), (1, -math.inf, math.inf)),
    ],
)
def test_log_loss_is_exact_far_out(label, logit, expected):
    assert log_loss([label], [logit]) == expected


def test_a_row_without_weight_costs_nothing_however_wrong_it_is():
    assert log_loss([0, 1], [math.inf, 0.0], [0.0, 2.0]) == pytest.approx(math.log(2), rel=1e-12)


def test_log_loss_of_no_rows_is_nan():
    assert math.isnan(log_loss([], []))


GROUPED = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3), st.integers(0, 4), st.integers(0, 3)), max_size=50)


def columns(rows):
    return [np.array(column) for column in zip(*rows, strict=True)] if rows else [np.zeros(0, int)] * 4


@settings(max_examples=150, deadline=None)
@given(GROUPED)
def test_weighted_auc_is_that_of_all_pairs(rows):
    labels, scores, _, weights = columns(rows)
    right = whole = 0.0
    for i, j in ((i, j) for i in range(len(rows)) for j in range(len(rows)) if labels[i] > labels[j]):
        pair = weights[i] * weights[j]
        whole += pair
        right += pair * (1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
    found = auc(labels, scores, weights)
    assert found == pytest.approx(right / whole, abs=1e-12) if whole else math.isnan(found)


@settings(max_examples=150, deadline=None)
@given(GROUPED)
def test_gauc_is_the_mean_of_each_groups_auc_by_impressions(rows):
    labels, scores, groups, _ = columns(rows)
    total = weight = left_out = 0
    values = []
    for group in sorted(set(groups.tolist())):
        mine = groups == group
        if len(set(labels[mine])) < 2:
            left_out += 1
            values.append(math.nan)
            continue
        values.append(sklearn.metrics.roc_auc_score(labels[mine], scores[mine]))
        total += mine.sum() * values[-1]
        weight += mine.sum()
    found = gauc(labels, scores, groups)
    assert found.left_out == left_out
    assert found.values == pytest.approx(values, abs=1e-12, nan_ok=True)
    assert found.mean == pytest.approx(total / weight, abs=1e-12) if weight else math.isnan(found.mean)


def test_gauc_does_not_see_differences_between_groups():
    # Each group is in order, though the scores of group b are all above those of group a.
    labels, scores, groups = [0, 1, 1, 0, 1], [1, 2, 2, 8, 9], ["a", "a", "a", "b", "b"]
    assert gauc(labels, scores, groups).mean == 1.0
    assert auc(labels, scores) < 1.0


@settings(max_examples=60, deadline=None)
@given(GROUPED, st.randoms(use_true_random=False))
def test_gauc_does_not_depend_on_the_order_of_rows(rows, random):
    shuffled = random.sample(rows, len(rows))
    one, other = (gauc(*columns(some)[:3]).values for some in (rows, shuffled))
    assert one.tolist() == pytest.approx(other.tolist(), nan_ok=True)


@settings(max_examples=150, deadline=None)
@given(GROUPED)
def test_pr_auc_is_the_average_precision_of_scikit_learn(rows):
    labels, scores, _, weights = columns(rows)
    for weight in (None, weights):
        found = pr_auc(labels, scores, weight)
        if (labels if weight is None else labels * weight).sum() == 0:
            assert math.isnan(found)
        else:
            expected = sklearn.metrics.average_precision_score(labels, scores, sample_weight=weight)
            assert found == pytest.approx(expected, abs=1e-12)


def test_weighted_log_loss_is_that_of_repeated_rows():
    labels, logits, weights = np.array([1, 0, 1]), np.array([0.3, -1.0, 2.0]), np.array([3, 1, 0])
    repeated = log_loss(np.repeat(labels, weights), np.repeat(logits, weights))
    assert log_loss(labels, logits, weights) == pytest.approx(repeated, rel=1e-12)


def test_normalised_entropy_of_the_base_rate_is_1_and_of_certain_right_answers_0():
    labels = np.array([1, 0, 0, 0])
    assert normalised_entropy(labels, np.full(4, math.log(1 / 3))) == pytest.approx(1.0)
    assert normalised_entropy(labels, np.where(labels, 50.0, -50.0)) == pytest.approx(0.0, abs=1e-12)
    # By hand: log loss of logits 0 is ln 2; the entropy of 1/4 is 0.562335.
    assert normalised_entropy(labels, np.zeros(4)) == pytest.approx(0.693147 / 0.562335, rel=1e-5)
    assert math.isnan(normalised_entropy([1, 1], [0.0, 0.0]))
    assert math.isnan(normalised_entropy([], []))


@pytest.mark.parametrize("metric", [auc, pr_auc])
def test_scores_that_are_nan_are_refused(metric):
    with pytest.raises(DataError, match="scores: 1 of 3 are NaN"):
        metric([0, 1, 1], [0.0, math.nan, 1.0])


def test_labels_and_weights_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match=r"a label is 3\.0; allowed: 0 and 1"):
        auc([0, 3], [0.0, 1.0])
    with pytest.raises(ValueError, match="none negative"):
        auc([0, 1], [0.0, 1.0], [1.0, -1.0])
    with pytest.raises(ValueError, match="for 2 rows"):
        log_loss([0, 1], [0.0, 1.0], [1.0])
