"""What an accumulator says is that of all lists at once, in whatever parts and order they come."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfrec.random_lists import random_case
from tfrec.metrics import (
    BeyondAccuracy,
    RankedLists,
    RankingAccumulator,
    coverage,
    exposure_counts,
    gini,
    popularity_lift,
    ranking_metric_names,
    ranking_metrics,
)

KS = (1, 5, 20)


def accumulator(case, **options):
    return RankingAccumulator(KS, case.facts, case.profiles, **options)


def extra(users):
    return {"auc": np.where(users % 5 == 0, math.nan, users / 40)}


def in_parts(case, sizes, order, workers, **options):
    """Users in another order, cut into batches, dealt to workers that are merged in reverse."""
    parts = [accumulator(case, **options) for _ in range(workers)]
    lists = case.lists.of(order)
    for batch, rows in enumerate(np.split(np.arange(len(lists)), np.cumsum(sizes))):
        some = lists.of(rows)
        parts[batch % workers].add(some, extra(some.users))
    whole = accumulator(case, **options)
    for part in reversed(parts):
        whole.merge(pickle.loads(pickle.dumps(part)))
    return whole


CUTS = st.tuples(
    st.integers(0, 3), st.lists(st.integers(0, 12), max_size=6), st.permutations(range(30)), st.integers(1, 4)
)


@settings(max_examples=40, deadline=None)
@given(CUTS)
def test_the_same_bits_come_from_any_batches_order_and_workers(cuts):
    seed, sizes, order, workers = cuts
    case = random_case(seed)
    whole = accumulator(case)
    whole.add(case.lists, extra(case.lists.users))
    found = in_parts(case, sizes, np.array(order), workers)
    assert found.users().tolist() == whole.users().tolist() == case.lists.users.tolist()
    for name, values in whole.per_user().items():
        assert found.per_user()[name].tobytes() == values.tobytes(), name
    assert {name: value.hex() for name, value in found.metrics().items()} == {
        name: value.hex() for name, value in whole.metrics().items()
    }
    for k in KS:
        assert found.exposure(k).tolist() == whole.exposure(k).tolist()
        one, other = (some.item_group_exposure("popularity", k) for some in (found, whole))
        assert one.exposure_share.tobytes() == other.exposure_share.tobytes()
        assert one.relevant_share.tobytes() == other.relevant_share.tobytes()


@settings(max_examples=20, deadline=None)
@given(CUTS)
def test_without_keeping_users_the_metrics_are_the_same_to_rounding(cuts):
    seed, sizes, order, workers = cuts
    case = random_case(seed)
    whole = accumulator(case)
    whole.add(case.lists, extra(case.lists.users))
    found = in_parts(case, sizes, np.array(order), workers, keep_users=False)
    assert found.num_users == len(case.lists)
    assert found.metrics() == pytest.approx(whole.metrics(), rel=1e-12, nan_ok=True)
    with pytest.raises(ValueError, match="keep_users=True"):
        found.per_user()


def test_its_metrics_are_those_of_the_functions_on_all_lists_at_once():
    case = random_case(2)
    whole = accumulator(case)
    whole.add(case.lists)
    metrics, lists = whole.metrics(), case.lists
    asked = lists.of(lists.relevant_counts > 0)
    assert 0 < len(asked) < len(lists)
    expected = {name: values.mean() for name, values in ranking_metrics(asked.hits, asked.relevant_counts, KS).items()}
    beyond = BeyondAccuracy(case.facts, KS, case.profiles)(lists)
    expected |= {name: np.nanmean(values) for name, values in beyond.items() if not np.isnan(values).all()}
    profile = case.profiles.popularity[lists.users]
    expected["profile_popularity"] = np.nanmean(profile)
    for k, counts in zip(KS, exposure_counts(lists, KS, case.facts.num_items), strict=True):
        expected[f"coverage_at_{k}"], expected[f"gini_at_{k}"] = coverage(counts), gini(counts)
        expected[f"popularity_lift_at_{k}"] = popularity_lift(beyond[f"popularity_at_{k}"], profile)
    assert math.isnan(metrics.pop("diversity_at_1"))  # a list of one item has no pair
    assert metrics == pytest.approx(expected, abs=1e-12)


def test_a_user_with_nothing_to_find_has_no_accuracy_but_is_shown_items():
    case = random_case(0)
    lists = RankedLists(
        np.array([1]), np.array([[2, 3]]), np.zeros((1, 2)), np.zeros(2, np.int64), np.zeros(0, np.int64)
    )
    found = accumulator(case)
    found.add(lists)
    assert np.isnan([found.per_user()[name][0] for name in ranking_metric_names(KS)]).all()
    assert math.isnan(found.metrics()["ndcg_at_5"])
    assert found.metrics()["coverage_at_5"] == 2 / 25


def test_accuracy_alone_needs_no_facts_and_no_users_give_no_numbers():
    case = random_case(0)
    found = RankingAccumulator(KS)
    assert found.metrics() == {}
    found.add(case.lists)
    assert tuple(found.metrics()) == ranking_metric_names(KS)
    empty = accumulator(case)
    empty.add(case.lists.of(np.zeros(0, int)))
    assert all(math.isnan(value) or name.startswith("coverage") for name, value in empty.metrics().items())


def test_a_user_added_twice_and_parts_that_differ_are_refused():
    case = random_case(0)
    twice = accumulator(case)
    twice.add(case.lists)
    twice.add(case.lists.of(np.array([3])))
    with pytest.raises(ValueError, match=f"user {case.lists.users[3]} was added twice"):
        twice.metrics()
    uneven = accumulator(case)
    uneven.add(case.lists.of(np.array([0])), {"auc": np.array([0.5])})
    uneven.add(case.lists.of(np.array([1])))
    with pytest.raises(ValueError, match="more metrics than others"):
        uneven.metrics()
    with pytest.raises(ValueError, match="differ in ks"):
        accumulator(case).merge(RankingAccumulator((1, 5), case.facts, case.profiles))
