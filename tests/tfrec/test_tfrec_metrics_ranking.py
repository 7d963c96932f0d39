"""Ranking metrics against their definitions in plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.metrics import ranking_metric_names, ranking_metrics


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
        f"precision_at_{k}": total / k,
        f"ndcg_at_{k}": dcg / ideal,
        f"mrr_at_{k}": 1 / first if first else 0.0,
        f"map_at_{k}": sum(precisions) / min(k, relevant),
        f"map_n_at_{k}": sum(precisions) / k,
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
    assert tuple(found) == ranking_metric_names(ks)
    for row in range(len(hits)):
        expected = {name: v for k in ks for name, v in plain_metrics(hits[row], relevant[row], k).items()}
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected, abs=1e-12)


def test_a_hand_calculation_of_one_user():
    # Hits at ranks 2 and 3, three relevant items, cut at 3.
    found = ranking_metrics(np.array([[False, True, True]]), np.array([3]), [3])
    assert found["recall_at_3"][0] == pytest.approx(2 / 3)
    assert found["mrr_at_3"][0] == pytest.approx(1 / 2)
    assert found["map_at_3"][0] == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert found["precision_at_3"][0] == pytest.approx(2 / 3)
    assert found["ndcg_at_3"][0] == pytest.approx((0.63092975 + 0.5) / (1 + 0.63092975 + 0.5))


def test_a_perfect_list_has_all_metrics_1_and_beyond_its_relevant_items_only_what_divides_by_k_falls():
    found = ranking_metrics(np.array([[True, True, False]]), np.array([2]), [2, 3])
    less = {"precision_at_3": 2 / 3, "map_n_at_3": 2 / 3}
    assert {name: float(value[0]) for name, value in found.items()} == dict.fromkeys(found, 1.0) | less


def test_a_user_without_relevant_items_has_no_metric():
    with pytest.raises(ValueError, match="leave the user out"):
        ranking_metrics(np.zeros((2, 3), bool), np.array([1, 0]), [3])


def test_no_users_give_no_values():
    found = ranking_metrics(np.zeros((0, 3), bool), np.zeros(0, int), [2])
    assert {values.shape for values in found.values()} == {(0,)}


def test_the_two_denominators_of_average_precision_differ_where_fewer_than_k_items_are_relevant():
    # Hits at ranks 1 and 4 of the only two relevant items: (1/1 + 2/4) by min(5, 2), and by 5.
    found = ranking_metrics(np.array([[True, False, False, True]]), np.array([2]), [5])
    assert (found["map_at_5"][0], found["map_n_at_5"][0]) == (0.75, 0.3)


def test_every_user_has_the_same_values_alone_and_among_others():
    rng = np.random.default_rng(1)
    hits, relevant = rng.random((50, 30)) < 0.2, rng.integers(30, 40, 50)
    together = ranking_metrics(hits, relevant, [5, 20])
    alone = [ranking_metrics(hits[row : row + 1], relevant[row : row + 1], [5, 20]) for row in range(50)]
    for name, values in together.items():
        assert values.tolist() == [metrics[name][0] for metrics in alone]


@pytest.mark.parametrize("k", [0, -3])
def test_a_cut_before_the_first_place_is_refused(k):
    with pytest.raises(ValueError, match=f"k is {k}"):
        ranking_metrics(np.ones((1, 3), bool), np.array([1]), [5, k])
