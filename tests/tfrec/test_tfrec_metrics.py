"""Metrics against plain loops and scikit-learn."""

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.metrics import auc, log_loss, mean_absolute_error, ranking_metrics, root_mean_squared_error


def plain_metrics(hits, relevant, k):
    """Metrics of one user by their definitions."""
    cut = list(hits[:k])
    total = sum(cut)
    dcg = sum(hit / math.log2(rank + 1) for rank, hit in enumerate(cut, start=1))
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, relevant) + 1))
    first = next((rank for rank, hit in enumerate(cut, start=1) if hit), None)
    precisions = [sum(cut[:rank]) / rank for rank in range(1, len(cut) + 1) if cut[rank - 1]]
    return {
        f"hit_rate_at_{k}": float(total > 0),
        f"recall_at_{k}": total / relevant,
        f"ndcg_at_{k}": dcg / ideal,
        f"mrr_at_{k}": 1 / first if first else 0.0,
        f"map_at_{k}": sum(precisions) / min(k, relevant),
    }


@st.composite
def users(draw):
    listed = draw(st.integers(0, 12))
    rows = draw(st.lists(st.lists(st.booleans(), min_size=listed, max_size=listed), min_size=1, max_size=6))
    relevant = [max(1, sum(row)) + draw(st.integers(0, 5)) for row in rows]
    return np.array(rows, dtype=bool).reshape(len(rows), listed), np.array(relevant)


@settings(max_examples=200, deadline=None)
@given(users(), st.lists(st.integers(1, 20), min_size=1, max_size=4, unique=True))
def test_ranking_metrics_are_their_definitions(case, ks):
    hits, relevant = case
    found = ranking_metrics(hits, relevant, ks)
    assert set(found) == {f"{n}_at_{k}" for n in ("hit_rate", "recall", "ndcg", "mrr", "map") for k in ks}
    for row in range(len(hits)):
        expected = {name: v for k in ks for name, v in plain_metrics(hits[row], relevant[row], k).items()}
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected, abs=1e-12)


def test_a_hand_calculation_of_one_user():
    # Hits at ranks 2 and 3, three relevant items, cut at 3.
    found = ranking_metrics(np.array([[False, True, True]]), np.array([3]), [3])
    assert found["recall_at_3"][0] == pytest.approx(2 / 3)
    assert found["mrr_at_3"][0] == pytest.approx(1 / 2)
    assert found["map_at_3"][0] == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert found["ndcg_at_3"][0] == pytest.approx((0.63092975 + 0.5) / (1 + 0.63092975 + 0.5))


def test_a_perfect_list_has_all_metrics_1():
    found = ranking_metrics(np.array([[True, True, False]]), np.array([2]), [2, 3])
    assert {name: float(value[0]) for name, value in found.items()} == dict.fromkeys(found, 1.0)


def test_a_user_without_relevant_items_has_no_metric():
    with pytest.raises(ValueError, match="leave the user out"):
        ranking_metrics(np.zeros((2, 3), bool), np.array([1, 0]), [3])


def test_no_users_give_no_values():
    found = ranking_metrics(np.zeros((0, 3), bool), np.zeros(0, int), [2])
    assert {values.shape for values in found.values()} == {(0,)}


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
    [(1, 1000, 0), (0, -1000, 0), (0, 1000, 1000), (1, -1000, 1000), (1, 0, math.log(2))],
)
def test_log_loss_is_exact_far_out(label, logit, expected):
    assert log_loss([label], [logit]) == expected


def test_log_loss_of_no_rows_is_nan():
    assert math.isnan(log_loss([], []))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=30))
def test_errors_of_values_are_those_of_scikit_learn(rows):
    labels, predicted = zip(*rows, strict=True)
    assert root_mean_squared_error(labels, predicted) == pytest.approx(
        sklearn.metrics.root_mean_squared_error(labels, predicted)
    )
    assert mean_absolute_error(labels, predicted) == pytest.approx(
        sklearn.metrics.mean_absolute_error(labels, predicted)
    )


def test_errors_of_no_rows_are_nan():
    assert math.isnan(root_mean_squared_error([], []))
    assert math.isnan(mean_absolute_error([], []))
